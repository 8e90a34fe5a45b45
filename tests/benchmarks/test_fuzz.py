"""Any upload ends as an image, a data set or a run, or with a one-line error, and writes no file outside its folder."""

import io
import random
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.hostile import honest_images, mutated
from tests.helpers.hostile_zips import HOSTILE_NAMES, generated_zip, honest_zip, raw_zip
from vit import runs
from vit.data.files.images import open_image
from vit.data.files.pictures import save_picture
from vit.data.files.uploads import store_upload
from vit.errors import UserError
from vit.exports import run_zip

SEEDS = st.integers(0, 2**32 - 1)
bounded = settings(
    max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    """Ignore warnings of the decoders about broken files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="module")
def packed_run(workshop: Path) -> bytes:
    file = io.BytesIO()
    run_zip.pack(runs.get_run(workshop / "checkpoints" / "tiny"), file, resume=True)
    return file.getvalue()


@cache
def images() -> dict[str, bytes]:
    return honest_images()


@contextmanager
def guarded(place: str) -> Iterator[None]:
    """Provide a new home folder; only complete files in ``place`` may appear, and only user errors may be raised."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        home = Path(folder)
        patch.setenv("VIT_CHECKPOINTS", str(home / "inner" / "checkpoints"))
        patch.setenv("VIT_DATA", str(home / "inner" / "data"))
        refusal = None
        try:
            yield
        except UserError as error:
            refusal = str(error)
        if refusal is not None:
            assert refusal.strip()
            assert "\n" not in refusal
            assert not list((home / "inner" / place).glob("*"))
        found = [path.relative_to(home).as_posix() for path in home.rglob("*")]
        parents = {f"inner/{place}".rsplit("/", count)[0] for count in range(3)}
        assert [name for name in found if name not in parents and not name.startswith(f"inner/{place}/")] == []
        assert [path.name for path in (home / "inner" / place).glob(".*")] == []
        assert not any(path.is_symlink() for path in home.rglob("*"))


@bounded
@given(kind=st.sampled_from(sorted(honest_images())), seed=SEEDS)
def test_a_mutated_image_is_accepted_or_refused_with_a_sentence(kind, seed):
    data = mutated(images()[kind], random.Random(seed), list(images().values()))
    with guarded("data/pictures"):
        image = open_image(io.BytesIO(data), name="cat.png")
        assert image.mode == "RGB"
        save_picture(image)


@bounded
@given(seed=SEEDS)
def test_a_hostile_zip_is_accepted_or_refused_with_a_sentence(seed):
    with guarded("data/uploads"):
        store_upload("photos.zip", io.BytesIO(generated_zip(random.Random(seed))))


@bounded
@given(seed=SEEDS)
def test_a_mutated_zip_is_accepted_or_refused_with_a_sentence(seed):
    with guarded("data/uploads"):
        store_upload("photos.zip", io.BytesIO(mutated(honest_zip(), random.Random(seed), [honest_zip(1)])))


@bounded
@given(names=st.lists(st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(HOSTILE_NAMES), max_size=6))
def test_no_file_name_escapes_the_folder(names):
    members = [(f"{label}/0.png", b"x") for label in ("cat", "dog")] + [(name, b"y") for name in names]
    lies = {"flags": 0x800}
    with guarded("data/uploads"):
        store_upload("photos.zip", io.BytesIO(raw_zip([(name.encode()[:65_535], it, lies) for name, it in members])))


@bounded
@given(seed=SEEDS)
def test_a_mutated_run_is_accepted_or_refused_with_a_sentence(packed_run, seed):
    choice = random.Random(seed)
    with zipfile.ZipFile(io.BytesIO(packed_run)) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    broken = choice.choice(list(content))
    content[broken] = mutated(content[broken], choice, list(content.values()))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, value in content.items():
            archive.writestr(name, value)
    data = file.getvalue() if choice.random() < 0.8 else mutated(file.getvalue(), choice, [packed_run])
    with guarded("checkpoints"):
        run = run_zip.unpack(io.BytesIO(data))
        assert run.config.owner == ""
        assert run.status.state not in runs.ACTIVE
        assert [len(run.snapshots), len(run.metrics()[0]), run.latest]  # all of it can be read
