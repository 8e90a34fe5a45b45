"""JavaScript and CSS that the app's widgets and exported pages share.

A component is a folder with ``index.js``, further modules and ``style.css``. The modules import each other by bare
names: ``shared``, ``map_grid`` (its ``index.js``), ``map_grid/values``.
"""

import json
import re
from pathlib import Path

from vit.pictures.colours import CATEGORICAL, PALETTE, RIGHT, SEQUENTIAL, SIGNED, THEMES, WRONG

FOLDER = Path(__file__).parent

_IMPORT = re.compile(r'^import \{[^}]*\} from "([\w/]+)"\n', flags=re.MULTILINE)
_EXPORT = re.compile(r"^export ", flags=re.MULTILINE)


def component_names() -> list[str]:
    """Return the names of all components."""
    return sorted(path.parent.name for path in FOLDER.glob("*/index.js"))


def modules() -> dict[str, str]:
    """Return the source of every module by its bare name.

    Two modules are made here: ``colours`` exports the colours of :mod:`vit.pictures.colours`, and ``styles`` exports
    ``STYLES``, the CSS of each component by name.
    """
    found = {_name(path): path.read_text(encoding="utf-8") for path in sorted(FOLDER.rglob("*.js"))}
    named = {"CATEGORICAL": CATEGORICAL, "SEQUENTIAL": SEQUENTIAL, "SIGNED": SIGNED, "RIGHT": RIGHT, "WRONG": WRONG}
    named["BORDER"] = PALETTE["vermilion"]
    found["colours"] = "".join(f"export const {name} = {json.dumps(value)}\n" for name, value in named.items())
    found["styles"] = f"export const STYLES = {json.dumps({name: style(name) for name in component_names()})}\n"
    return found


def script(*names: str) -> str:
    """Return modules and everything that they import as one script without imports and exports.

    Streamlit runs the code of a component as one module that cannot import other files.
    """
    sources, order = modules(), list[str]()

    def add(name: str) -> None:
        if name not in order:
            for needed in _IMPORT.findall(sources[name]):
                add(needed)
            order.append(name)

    for name in names:
        add(name)
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", sources[name])) for name in order)


def style(name: str = "") -> str:
    """Return the CSS that all components share, followed by that of one component if its name is given."""
    files = [FOLDER / "shared.css", *([FOLDER / name / "style.css"] if name else [])]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def theme_css() -> str:
    """Return CSS with the custom properties that the components use, for light and dark.

    The theme is that of the browser, unless the root element has the attribute ``data-theme``.
    """
    light, dark = (_properties(THEMES[name]) for name in ("light", "dark"))
    return (
        f":root {{{light} color-scheme: light;}}\n"
        f"@media (prefers-color-scheme: dark) {{ :root:not([data-theme]) {{{dark} color-scheme: dark;}} }}\n"
        f':root[data-theme="dark"] {{{dark} color-scheme: dark;}}\n'
    )


def _properties(theme: dict[str, str]) -> str:
    names = {
        "text": "text-color",
        "background": "background-color",
        "secondary": "secondary-background-color",
        "border": "border-color",
        "primary": "primary-color",
        "link": "link-color",
    }
    values = {names[key]: value for key, value in theme.items() if key in names} | {"heading-color": theme["text"]}
    return "".join(f"--st-{name}: {value};" for name, value in values.items()) + f"--quiet: {theme['quiet']};"


def _name(path: Path) -> str:
    return path.relative_to(FOLDER).with_suffix("").as_posix().removesuffix("/index")
