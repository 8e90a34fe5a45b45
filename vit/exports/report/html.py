"""The report's templates: one HTML page that loads nothing, follows light and dark mode, and prints."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from vit.pictures.colours import PALETTE, THEMES
from vit.pictures.data_url import data_url
from vit.support.untrusted_text import as_html, shown

NAME_COLUMNS = 26
"""Longer class names are shortened at the confusion matrix."""


def render(template: str, **content: Any) -> str:
    """Return a template filled with texts, numbers and Pillow images.

    Every value is escaped with :func:`vit.support.untrusted_text.as_html`, unless it is ``Markup``.
    """
    return _environment.get_template(template).render(content)


def _safe(value: object) -> Markup:
    return value if isinstance(value, Markup) else Markup(as_html(value))


_environment = Environment(
    loader=PackageLoader(__package__),
    autoescape=True,
    finalize=_safe,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters |= {"data_url": data_url, "shown": shown}
_environment.globals |= {"themes": THEMES, "warning": PALETTE["orange"], "name_columns": NAME_COLUMNS}
