"""The documentation: its links, commands, flags, imports and pictures exist."""

import ast
import json
import os
import re
import subprocess
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.helpers.serving import ROOT
from vit import plots, runs
from vit.cli import main

PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")})
TEXTS = {str(page.relative_to(ROOT)): page.read_text() for page in PAGES}
PICTURES = ROOT / "docs" / "pictures"


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as on GitHub."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", TEXTS)
def test_every_relative_link_has_a_target(name):
    page = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[name]):
        if re.match(r"https?:|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name} links to {target}"
        if anchor:
            assert anchor in anchors(file.read_text()), f"{name} links to {target}"


def test_every_command_and_program_that_is_named_exists():
    text = "\n".join(TEXTS.values())
    (commands,) = (
        action.choices for action in main._parser()._actions if action.dest == "==SUPPRESS==" or action.choices
    )
    for words in re.findall(r"python -m vit ([a-z-]+)", text):
        assert words in commands
    for module in re.findall(r"python -m ((?:benchmarks|docs)\.[a-z_.]*[a-z_])", text):
        assert find_spec(module), module
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, flags=re.MULTILINE)) <= targets


def test_every_flag_belongs_to_its_command():
    for line in re.findall(r"python -m vit [a-z-]+[^`\n]*", "\n".join(TEXTS.values())):
        command, given = line.split()[3], set(re.findall(r"(?<=\s)--[a-z-]+", line))
        known = main._parser()._subparsers._group_actions[0].choices[command]._option_string_actions
        assert given <= set(known), line


def test_python_examples_are_valid_and_their_imports_exist():
    blocks = re.findall(r"^```python\n(.*?)^```", "\n".join(TEXTS.values()), flags=re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 4
    for block in blocks:
        for node in ast.parse(block).body:
            if isinstance(node, ast.ImportFrom):
                module = import_module(node.module)
                assert all(hasattr(module, name.name) for name in node.names), block
        for name in re.findall(r"plots\.(\w+)", block):
            assert name in plots.__all__


def test_the_readme_shows_a_small_picture_of_every_page():
    from docs import hero
    from docs.pictures import ALL_BYTES_MAX, ANIMATED, BYTES_MAX

    router = (ROOT / "pages" / "_router.py").read_text()
    pages = ["overview", *re.findall(r'page_of\("(\w+)"', router)]
    assert len(pages) > 15, "the search finds the pages"
    for page in pages:
        assert f"docs/pictures/{page}.webp" in TEXTS["README.md"], page
    sizes = {picture.stem: picture.stat().st_size for picture in PICTURES.glob("*.webp")}
    assert sizes.pop(ANIMATED) <= hero.BYTES_MAX
    assert max(sizes.values()) <= BYTES_MAX
    assert sum(sizes.values()) <= ALL_BYTES_MAX


def test_the_readme_is_short():
    assert len(TEXTS["README.md"].splitlines()) <= 200


def test_the_container_starts_the_app_on_the_shipped_run(tmp_path):
    """Run the command of the Dockerfile with a stand-in for python that prints its arguments."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    health, command = (
        json.loads(it) for it in re.findall(r"CMD (?:\\\n\s+)?(\[.*\])$", dockerfile, flags=re.MULTILINE)
    )
    compile(health[-1], "health check", "exec")
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    storage = {"VIT_CHECKPOINTS": str(tmp_path / "runs"), "VIT_DATA": str(tmp_path / "data"), "PORT": "7860"}
    environment = os.environ | storage | {"PATH": f"{python.parent}:{os.environ['PATH']}"}
    for _ in range(2):  # the second time, the run already exists
        said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
        assert said.split()[:4] == ["-m", "streamlit", "run", "streamlit_app.py"]
        assert {"--server.address=0.0.0.0", "--server.port=7860"} <= set(said.split())
        for run in runs.SHIPPED_RUNS:
            assert (tmp_path / "runs" / run / "model.safetensors").is_file()


def test_the_image_contains_everything_that_the_app_imports():
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert all((ROOT / path).exists() for path in kept)
    rooms = {path for path in kept if (ROOT / path).is_dir()}
    files = [ROOT / "streamlit_app.py", *(file for room in ("pages", "vit") for file in (ROOT / room).rglob("*.py"))]
    own = {path.stem if path.suffix else path.name for path in ROOT.iterdir() if path.suffix == ".py" or path.is_dir()}
    for file in files:
        for module in re.findall(r"^\s*(?:from|import) (\w+)", file.read_text(), flags=re.MULTILINE):
            assert module not in own or module in rooms, f"{Path(file).name} imports {module}, which the image lacks"


def test_the_attributes_of_a_record_in_the_library_guide_exist():
    import torch

    from tests.explain.test_capture import make
    from vit.explain import capture

    record = capture(make(), torch.zeros(1, 3, 32, 32))
    [row] = [line for line in TEXTS["docs/library.md"].splitlines() if "`capture(model, images)`:" in line]
    named = re.findall(r"`\.([\w\[\].]+)`", row)
    assert named
    for name in named:
        assert eval(f"record.{name}", {"record": record, "i": 0}) is not None


def test_the_example_with_arrays_runs(capsys):
    section = TEXTS["docs/library.md"].split("## Your own arrays")[1].split("\n## ")[0]
    [block] = re.findall(r"^```python\n(.*?)^```", section, flags=re.DOTALL | re.MULTILINE)
    exec(block, {})
    assert re.fullmatch(r"epoch 1: \d+\.\d%\n", capsys.readouterr().out)


def test_the_table_of_data_sets_is_that_of_the_catalog():
    from vit.data.catalog.catalog import CATALOG

    for name, entry in CATALOG.items():
        [row] = re.findall(rf"^\| `{name}` \|.*$", TEXTS["docs/collections.md"], flags=re.MULTILINE)
        images = f"{entry.counts['train']:,} and {entry.counts['val']:,}"
        assert row.split(" | ")[1:3] == [str(len(entry.class_names)), images]
        assert row.endswith(f"| {entry.licence} |")
