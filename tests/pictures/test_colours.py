"""The colours: distinguishable with any colour vision, legible in both themes, and defined in one place."""

import itertools
import re
import tomllib

import numpy as np
import pytest

from tests.helpers.serving import ROOT
from vit.pictures.colours import (
    CATEGORICAL,
    PALETTE,
    SEQUENTIAL,
    SIGNED,
    THEMES,
    contrast,
    ink_on_scale,
    rgb,
    with_opacity,
)

VISIONS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
"""Linear RGB as seen with each colour vision: Machado, Oliveira and Fernandes 2009, severity 1."""

TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = TO_XYZ.sum(axis=1)

LITERAL = re.compile(r"#(?:[0-9a-fA-F]{8}|[0-9a-fA-F]{6}|[0-9a-fA-F]{3,4})\b|\b(?:rgb|hsl)a?\(\s*\d[^)]*\)")
PURE = re.compile(r"#(?:000|fff)\b|rgba?\((?:0[ ,]+0[ ,]+0|255[ ,]+255[ ,]+255)\b", re.IGNORECASE)
"""Black and white, opaque or transparent."""

CAPTION = int(re.search(r"currentcolor (\d+)%", (ROOT / "pages/ui/theme.css").read_text())[1]) / 100
"""Opacity of a caption's text colour."""

ELSEWHERE = {
    "vit/pictures/colours.py": "the definition",
    "vit/web/patch_board/index.js": "the grey of a patch that was just covered, until the new picture arrives",
}


def lab(colours, vision: str) -> np.ndarray:
    """Return CIE L*a*b* (D65) of colours ``(n 3)``, 0 to 255, as seen with this colour vision."""
    part = np.asarray(colours, dtype=float) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    xyz = np.clip(linear @ VISIONS[vision].T, 0, 1) @ TO_XYZ.T / WHITE
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def nearest(colours, vision: str) -> float:
    """Return the smallest CIE76 distance between two of the colours; 2.3 is just noticeable side by side."""
    places = lab([rgb(colour) for colour in colours], vision)
    return min(float(np.linalg.norm(one - other)) for one, other in itertools.combinations(places, 2))


@pytest.mark.parametrize("vision", VISIONS)
def test_categories_are_distinguishable_with_any_colour_vision(vision):
    assert nearest(PALETTE.values(), vision) > 13  # 4 where the grey is #8A8F98


@pytest.mark.parametrize("vision", VISIONS)
def test_negative_and_positive_are_distinguishable(vision):
    assert nearest(SIGNED, vision) > 50


@pytest.mark.parametrize("vision", VISIONS)
def test_more_is_always_lighter(vision):
    ends = np.array([rgb(colour) for colour in SEQUENTIAL], dtype=float)
    places = np.linspace(0, len(ends) - 1, 64)
    between = np.stack([np.interp(places, range(len(ends)), channel) for channel in ends.T], axis=1)
    steps = np.diff(lab(between, vision)[:, 0])
    assert steps.min() > 0
    assert vision == "tritanopia" or steps.max() < 2.5 * steps.min()


def test_numbers_on_the_scale_can_be_read():
    ends = np.array([rgb(colour) for colour in SEQUENTIAL], dtype=float)
    for share in np.linspace(0, 1, 101):
        ground = [np.interp(share * (len(ends) - 1), range(len(ends)), channel) for channel in ends.T]
        assert contrast(rgb(ink_on_scale(share)), tuple(ground)) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
def test_words_have_contrast_in_both_themes(theme):
    colours = {name: rgb(colour) for name, colour in THEMES[theme].items()}
    for ground in ("background", "secondary"):
        pairs = zip(colours["text"], colours[ground], strict=True)
        caption = tuple(CAPTION * one + (1 - CAPTION) * other for one, other in pairs)
        for words in (colours["text"], colours["quiet"], colours["link"], caption):
            assert contrast(words, colours[ground]) >= 4.5
    assert contrast((255, 255, 255), colours["primary"]) >= 4.5  # a button's label
    assert contrast(colours["primary"], colours["background"]) >= 3  # its edge, and the focus


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("tone", SIGNED)
def test_text_is_read_on_the_fullest_cell(theme, tone):
    full = re.findall(r"const FULL = (\d+)", (ROOT / "vit/web/shared.js").read_text())
    assert len(full) == 1
    for share in (int(one) / 100 for one in full):
        for ground in ("background", "secondary"):
            behind = rgb(THEMES[theme][ground])
            mixed = tuple(share * one + (1 - share) * other for one, other in zip(rgb(tone), behind, strict=True))
            assert contrast(rgb(THEMES[theme]["text"]), mixed) >= 4.4


def test_the_streamlit_theme_is_the_one_of_the_library():
    theme = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"]
    assert theme["chartCategoricalColors"] == list(CATEGORICAL)
    assert theme["chartSequentialColors"] == list(SEQUENTIAL)
    keys = {
        "text": "textColor",
        "background": "backgroundColor",
        "secondary": "secondaryBackgroundColor",
        "border": "borderColor",
        "primary": "primaryColor",
        "link": "linkColor",
    }
    for name, colours in THEMES.items():
        assert {key: theme[name][key] for key in keys.values()} == {key: colours[own] for own, key in keys.items()}


def test_colours_are_defined_nowhere_else():
    found = {}
    for folder, kind in itertools.product(("vit", "pages"), ("py", "js", "css")):
        for path in (ROOT / folder).rglob(f"*.{kind}"):
            name = path.relative_to(ROOT).as_posix()
            if name.startswith("vit/data/scenes/"):  # drawn objects have their own colours
                continue
            stray = [one for one in LITERAL.findall(path.read_text()) if not PURE.match(one)]
            if stray:
                found[name] = stray
    assert not {name: stray for name, stray in found.items() if name not in ELSEWHERE}
    assert set(found) == set(ELSEWHERE), "nothing is left to allow there"


def test_an_opacity_is_written_as_css_and_plotly_expect():
    assert with_opacity("#0072B2", 0.25) == "rgba(0,114,178,0.25)"
