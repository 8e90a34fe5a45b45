"""Put the app beside the library: a wheel has it as ``vit/app/``, and a checkout has it in its own folders."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
APP = ("streamlit_app.py", "pages", ".streamlit/config.toml", "examples/photographs", "checkpoints/scenes*")
"""What the app consists of; settings are in pyproject.toml."""


class BuildWithApp(build_py):
    """Build the library, and copy the app into it unless the installation refers to the checkout."""

    def run(self) -> None:
        """Build."""
        super().run()
        if self.editable_mode:
            return
        for source in (path for pattern in APP for path in ROOT.glob(pattern)):
            target = Path(self.build_lib) / "vit" / "app" / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                left_out = shutil.ignore_patterns("__pycache__", ".lock", "log.txt", "last.safetensors")
                shutil.copytree(source, target, ignore=left_out, dirs_exist_ok=True)
            else:
                shutil.copyfile(source, target)


setup(cmdclass={"build_py": BuildWithApp})
