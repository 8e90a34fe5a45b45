"""The sheet for class: one page that loads nothing, with the lesson's own words."""

import re

import pytest

from vit.lessons import EXPERIMENTS, pictures
from vit.lessons.sheet import inline, sheet
from vit.lessons.texts import text


@pytest.mark.parametrize("name", ["depth", "patches", "little"])
def test_the_sheet_has_picture_guess_table_and_questions(name):
    draw = {"depth": pictures.block_panels, "patches": pictures.patch_panels, "little": pictures.little_panels}[name]
    panels, words = draw(EXPERIMENTS[name]), text(name)
    page = sheet(name, title="T<b>", question="Q?", panels=panels, experiment=f"{name}-short")
    assert "T&lt;b&gt;" in page
    assert page.count('src="data:image/png;base64,') == len(panels)
    assert not re.search(r"https?://", page)
    for part in (*words.options, *words.class_questions, *(it.title for it in EXPERIMENTS[f"{name}-short"])):
        assert part in page.replace("&#39;", "'"), part
    assert "**" not in page


def test_only_bold_and_italic_become_markup():
    assert inline("**a** *b* <i>") == "<strong>a</strong> <em>b</em> &lt;i&gt;"
