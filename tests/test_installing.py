"""The wheel: it is built, installed in a new environment, and starts the app from another folder."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import pytest

from tests.helpers.serving import NO_SECRETS, ROOT
from vit import runs

SOURCES = ("vit", "pages", "streamlit_app.py", "checkpoints", "examples", ".streamlit", "setup.py", "MANIFEST.in")
SOURCES += ("pyproject.toml", "requirements.txt", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of the project, because setuptools writes into the folder that it builds."""
    pytest.importorskip("setuptools", minversion="77")
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            left_out = shutil.ignore_patterns("__pycache__", "secrets.toml")
            shutil.copytree(ROOT / name, folder / "copy" / name, ignore=left_out)
        else:
            (folder / "copy").mkdir(exist_ok=True)
            shutil.copyfile(ROOT / name, folder / "copy" / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet", "-w", str(folder)]
    subprocess.run([*command, str(folder / "copy")], check=True)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The Python of a new environment with the wheel; it finds the packages of this one, which are large."""
    place = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    ask = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    own = Path(subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip())
    here = {sysconfig.get_paths()[name] for name in ("purelib", "platlib")}
    # sys.path keeps their order, and skips the checkout that an editable installation here may add.
    (own / "others.pth").write_text("\n".join([*here, *(path for path in sys.path if path.endswith("-packages"))]))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--quiet"]
    subprocess.run([*pip, "--force-reinstall", str(wheel)], check=True)
    return python


def environment(home: Path) -> dict[str, str]:
    """A user without settings of this program, whose folder is ``home``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VIT_", "PYTHONPATH", "XDG_"))}
    return kept | {"HOME": str(home), "USERPROFILE": str(home), "LOCALAPPDATA": str(home), "VIT_PREPARE_SCENES": "0"}


def test_the_wheel_holds_the_app_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    inside = {name.removeprefix("vit/app/") for name in names if name.startswith("vit/app/")}
    listed = subprocess.run(
        [
            "git",
            "ls-files",
            "streamlit_app.py",
            "pages",
            "checkpoints",
            "examples/photographs",
            ".streamlit/config.toml",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("this is no checkout")
    assert inside == set(listed.stdout.split())
    assert not [name for name in names if name.split("/")[0] not in ("vit",) and ".dist-info/" not in name]
    metadata = zipfile.ZipFile(wheel).read(next(name for name in names if name.endswith("/METADATA"))).decode()
    assert {f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)} <= set(
        re.findall(r"^Classifier: (.*)$", metadata, flags=re.MULTILINE)
    )


def test_the_command_is_installed_and_uses_the_folder_of_the_user(installed, tmp_path):
    command = installed.with_name("vit")
    said = subprocess.run(
        [command, "runs", "--json"], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=True
    )
    for run in runs.SHIPPED_RUNS:
        assert f'"{run}"' in said.stdout
    [folder] = tmp_path.rglob("checkpoints")
    assert tmp_path in folder.parents
    assert folder.parent.name == "vit-attention-explorer"
    moved = environment(tmp_path) | {"VIT_CHECKPOINTS": str(tmp_path / "elsewhere")}
    subprocess.run([command, "runs"], cwd=tmp_path, env=moved, capture_output=True, check=True)
    assert (tmp_path / "elsewhere" / runs.SHIPPED_RUN / "config.json").is_file()
    shutil.rmtree(tmp_path / "elsewhere" / runs.SHIPPED_RUN)
    said = subprocess.run([command, "runs"], cwd=tmp_path, env=moved, capture_output=True, text=True, check=True)
    assert runs.SHIPPED_RUN not in said.stdout.split(), "a deleted run does not return"
    usage = subprocess.run([command, "--help"], capture_output=True, text=True, check=True).stdout
    assert usage.startswith("usage: vit ")


def test_a_page_opens_from_the_installed_package(installed, tmp_path):
    script = (
        "from pathlib import Path; import vit, sys; from streamlit.testing.v1 import AppTest\n"
        "root = Path(vit.__file__).parent / 'app'\n"
        "assert 'environment' in str(root), root\n"
        "sys.path.insert(0, str(root))\n"
        "app = AppTest.from_file(str(root / 'pages' / '_router.py'), default_timeout=120).run()\n"
        "assert not app.exception, app.exception\n"
        "print([title.value for title in app.title])\n"
    )
    said = subprocess.run(
        [installed, "-c", script], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr[-2000:]
    assert "Attention explorer" in said.stdout


def test_vit_app_starts_the_server_from_any_folder(installed, tmp_path, free_port):
    options = ["app", "--port", str(free_port), "--no-browser", "--", f"--secrets.files={NO_SECRETS}"]
    with (tmp_path / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [installed.with_name("vit"), *options], cwd=tmp_path, env=environment(tmp_path), stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/_stcore/health", timeout=5) as answer:
                    assert answer.status == 200
                break
            except (urllib.error.URLError, ConnectionError):
                assert process.poll() is None, (tmp_path / "log.txt").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.2)
        with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/attention", timeout=30) as page:
            assert "Content-Security-Policy" in page.headers or page.status == 200
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def free_port():
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
