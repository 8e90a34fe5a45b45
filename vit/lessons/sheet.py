"""A sheet for class: one page (A4) with a lesson's question, picture, a table to fill in, and questions."""

import re
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from vit.lessons.experiments import EXPERIMENTS, comparisons, settings_words
from vit.lessons.pictures import Panel
from vit.lessons.texts import text
from vit.pictures.data_url import data_url
from vit.support.untrusted_text import as_html


def sheet(lesson: str, *, title: str, question: str, panels: Sequence[Panel], experiment: str = "") -> str:
    """Return the sheet of a lesson as an HTML page that loads nothing and prints on one A4 page.

    Args:
        lesson: name of the lesson.
        title: its title.
        question: the question that it answers.
        panels: its picture.
        experiment: name of the experiment whose runs the table lists; empty for a lesson without runs.
    """
    words = text(lesson)
    return _environment.get_template("sheet.html").render(
        title=title,
        question=question,
        words=words,
        panels=panels,
        variants=EXPERIMENTS[experiment] if experiment else (),
        pairs=comparisons(experiment) if experiment else (),
        settings=settings_words(experiment) if experiment else "",
    )


def inline(markdown: str) -> Markup:
    """Return a paragraph with ``**bold**`` and ``*italic*`` words as HTML; everything else is escaped."""
    escaped = as_html(markdown)
    bold = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", escaped)
    return Markup(re.sub(r"\*(.+?)\*", r"<em>\1</em>", bold))


_environment = Environment(
    loader=PackageLoader(__package__),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters |= {"data_url": data_url, "inline": inline}
