"""The API reference: every module has a page, and all references in docstrings are resolved."""

import re
import subprocess
import sys

import pytest

from tests.helpers.serving import ROOT

pytest.importorskip("pdoc")


def test_it_is_built_without_a_warning(tmp_path):
    program = [sys.executable, "-m", "docs.api", str(tmp_path), "--plain"]
    built = subprocess.run(program, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-2000:]
    pages = {str(page.relative_to(tmp_path).with_suffix("")) for page in tmp_path.rglob("*.html")} - {"index"}
    modules = {str(file.relative_to(ROOT).with_suffix("")) for file in (ROOT / "vit").rglob("*.py")}
    assert pages == {name.removesuffix("/__init__") for name in modules if not name.endswith("/__main__")}
    for page in tmp_path.rglob("*.html"):
        left = re.findall(r":(?:class|func|data|mod|attr|meth):", page.read_text())
        assert not left, f"{page.name}: references are left as markup"
