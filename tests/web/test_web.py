"""The components that the app and exported pages share: modules for a page, one script for Streamlit."""

import re

import pytest

from tests.helpers.serving import ROOT
from vit import web
from vit.exports.web_page import build
from vit.pictures.colours import THEMES
from vit.terms import GLOSSARY

WIDGETS = ROOT / "pages" / "ui" / "widgets"
NAME = re.compile(r"^(?:export )?(?:async )?(?:class|function\*?|const|let) (\w+)", flags=re.MULTILINE)
IMPORT = re.compile(r'^import (?:\{([^}]*)\}|\* as \w+) from "([\w/]+)"$', flags=re.MULTILINE)


def page_modules() -> dict[str, str]:
    return {name: source.decode() for name, source in build.modules().items() if name != "onnxruntime"}


def test_every_import_of_the_page_is_exported_by_a_module():
    modules = page_modules()
    for name, source in modules.items():
        lines = re.findall(r"^import .*$", source, flags=re.MULTILINE)
        assert len(lines) == len(IMPORT.findall(source)), f"{name} has an import that vit.web.script does not see"
        for names, target in IMPORT.findall(source):
            if target == "onnxruntime":
                continue
            for one in filter(None, re.split(r",\s*", names.strip())):
                exported = rf"^export (?:async )?(?:class|function|const) {one}\b"
                assert re.search(exported, modules[target], flags=re.MULTILINE), f"{name} imports {one} of {target}"


@pytest.mark.parametrize("name", web.component_names())
def test_a_widget_of_the_app_is_one_script_without_imports_or_names_that_occur_twice(name):
    own = [path for path in (WIDGETS / name).glob("*.js") if path.name != "index.js"]
    parts = [WIDGETS / "streamlit.js", *own, WIDGETS / name / "index.js"]
    script = "\n".join([web.script("shared", name), *(path.read_text() for path in parts)])
    assert not re.search(r"^import ", script, flags=re.MULTILINE)
    assert re.findall(r"^export .*", script, flags=re.MULTILINE) == [script.strip().splitlines()[-1]]
    names = NAME.findall(script)
    assert len(names) == len(set(names)), sorted(one for one in names if names.count(one) > 1)


def test_a_module_comes_after_those_that_it_imports():
    script = web.script("map_grid")
    order = ("class Widget", "function pixelTable", "class FilmWidget", "class MapGrid")
    places = [script.index(line) for line in order]
    assert places == sorted(places)
    assert script.count("class Widget ") == 1


def test_the_theme_has_every_colour_of_both_themes():
    css = web.theme_css()
    for theme in THEMES.values():
        assert all(colour in css for colour in theme.values())
    used = set(re.findall(r"var\((--st-[\w-]+)\)", "".join(web.style(name) for name in web.component_names())))
    own = (build.ASSETS / "style.css").read_text()
    assert {name for name in used if f"{name}:" not in css + own} == set()


def test_every_term_that_the_page_explains_is_in_the_glossary():
    found = set()
    for source in page_modules().values():
        found |= set(re.findall(r'\bterm(?:\(|: )"([^"]+)"', source))
    assert {"rollout", "attention", "patch"} <= found
    assert found <= set(GLOSSARY)
