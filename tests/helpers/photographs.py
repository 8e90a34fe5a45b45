"""A small zip of photographs to train on."""

import re
import zipfile
from pathlib import Path

from tests.conftest import PHOTOS, write_photo_zip


def small_photo_zip(path: Path) -> Path:
    """Write a zip of real photographs, 60 and 20 per class; of generated images if there are none here."""
    if not PHOTOS.exists():
        return write_photo_zip(path, {"train": 150, "val": 20})
    with zipfile.ZipFile(PHOTOS) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            split, number = name.split("/")[1], int(re.sub(r"\D", "", Path(name).stem) or 0)
            if name.endswith(".jpg") and number < {"train": 60, "val": 20}[split]:
                target.writestr(name, source.read(name))
    return path
