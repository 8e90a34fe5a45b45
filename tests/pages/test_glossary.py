"""The glossary: it has every term that a page explains and no other, and all can be found."""

import ast

import pytest

from pages.ui.wording import term
from tests.helpers.serving import ROOT
from tests.pages.opening import open_page
from vit.terms import GLOSSARY, TOPICS, heading


def explained() -> set[str]:
    """Return the terms that the pages ask for, in calls of ``term`` and in tables called ``TERMS``."""
    found = set()
    for path in (ROOT / "pages").rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "term":
                found |= {one.value for one in node.args if isinstance(one, ast.Constant)}
            elif isinstance(node, ast.Assign) and [getattr(one, "id", "") for one in node.targets] == ["TERMS"]:
                written = [one for value in node.value.values for one in ast.walk(value)]
                found |= {one.value for one in written if isinstance(one, ast.Constant)}
    return found


def test_every_term_that_is_used_exists_and_none_is_unused():
    used = explained()
    assert used - set(GLOSSARY) == set()
    assert set(GLOSSARY) - used == set()


def test_an_entry_is_short():
    for name, (words, formula) in GLOSSARY.items():
        assert words.endswith((".", ").")), name
        assert len(words) <= 260, name
        assert "$" not in words + formula, name


def test_help_starts_with_the_sentence_about_this_control():
    help_ = term("patch", "CKA", here="Row by row.")
    assert help_.startswith("Row by row.\n\n**Patch**: One of the squares")
    assert "**CKA**: Centred kernel alignment" in help_
    assert rf"${GLOSSARY['CKA'].formula}$" in help_


@pytest.mark.parametrize(("name", "shown"), [("class token", "Class token"), ("CKA", "CKA"), ("head_dim", "head_dim")])
def test_headings(name, shown):
    assert heading(name) == shown


def test_the_page_lists_all_and_finds_some(home):
    page = open_page("glossary")
    assert [one.value for one in page.header] == list(TOPICS)
    assert sum(one.value.startswith("### ") for one in page.markdown) == len(GLOSSARY)
    page.text_input(key="find").input(" Zuidema ").run()
    assert [one.value.split("\n")[0] for one in page.markdown] == ["### Rollout"]
    page.text_input(key="find").input("no such thing").run()
    assert not page.header
    assert "No term" in page.info[0].value
