"""The sample photographs of ``examples/photographs``, which are in the public domain; see ``LICENCES.md`` there."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from vit.errors import DataError

FOLDER = Path(__file__).resolve().parents[3] / "examples" / "photographs"


class Photograph(NamedTuple):
    """A photograph in the public domain.

    Attributes:
        name: the name of its file without ``.jpg``; its id is ``sample-<name>``.
        title: what it shows.
        author: who took it.
        licence: the terms of its author, in a few words.
    """

    name: str
    title: str
    author: str
    licence: str

    @property
    def id(self) -> str:
        """The id of the image in links."""
        return f"sample-{self.name}"


PHOTOGRAPHS = {
    one.name: one
    for one in (
        Photograph("chelsea", "Chelsea the cat", "Stefan van der Walt", "CC0"),
        Photograph("coffee", "Cup of coffee", "Rachel Michetti", "CC0"),
        Photograph("astronaut", "Astronaut Eileen Collins", "NASA", "public domain"),
        Photograph("rocket", "Launch of a rocket", "SpaceX", "public domain"),
        Photograph("photographer", "Man with a camera", "Lav Varshney", "CC0"),
        Photograph("clock", "Clock, blurred by motion", "Stefan van der Walt", "public domain"),
        Photograph("galaxies", "Hubble deep field", "NASA", "public domain"),
        Photograph("grass", "Grass", "linolafett", "CC0"),
    )
}
"""The photographs by name, in the order of the gallery."""


@lru_cache
def open_photograph(name: str) -> Image.Image:
    """Return a photograph as RGB; all callers share it.

    Raises:
        DataError: there is no such photograph, or its file is missing.
    """
    if name not in PHOTOGRAPHS:
        raise DataError(f"There is no sample photograph {name!r}: the names are {', '.join(PHOTOGRAPHS)}.")
    try:
        with Image.open(FOLDER / f"{name}.jpg", formats=["JPEG"]) as image:
            return image.convert("RGB")
    except OSError as error:
        raise DataError(f"The sample photograph {name!r} cannot be read: install the app again.") from error
