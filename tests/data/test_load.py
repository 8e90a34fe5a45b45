import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from tests.data.helpers import image_bytes, pets, write_tree, zip_bytes
from vit.config import DataConfig
from vit.data import cache, describe, is_prepared, load, sample, scenes
from vit.data.files import folders
from vit.data.files.images import fit_square, open_image
from vit.errors import DataError

TRAIN = [f"train/{label}/{index}.png" for label in ("cat", "dog") for index in range(6)]
VAL = [f"val/{label}/{index}.png" for label in ("cat", "dog") for index in range(3)]


@pytest.fixture
def photos(home):
    return write_tree(home / "photos", TRAIN + VAL)


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """Names of the files that are decoded while the test runs."""
    names: list[str] = []
    decode = folders._decode

    def counting(content, name, *, square):
        names.append(name)
        return decode(content, name, square=square)

    monkeypatch.setattr(folders, "_decode", counting)
    return names


def config(source, **options) -> DataConfig:
    return DataConfig(**{"source": str(source), "image_size": 8} | options)


def test_arrays_hold_the_images_in_order(photos):
    data = load(config(photos))
    assert data.train.images.shape == (12, 3, 8, 8)
    assert data.train.images.dtype == np.uint8
    assert data.train.labels.dtype == np.int64
    assert data.train.masks is None
    assert data.train.files == tuple(TRAIN)
    for image, file in zip(data.train.images, data.train.files, strict=True):
        assert np.array_equal(image.transpose(1, 2, 0), fit_square(open_image(photos / file), 8))


def test_only_the_part_that_a_network_looks_at_is_kept(photos):
    whole = load(config(photos)).train
    part = load(config(photos, crop_pct=0.5, interpolation="bilinear")).train
    assert not np.array_equal(part.images, whole.images)
    for image, file in zip(part.images, part.files, strict=True):
        assert np.array_equal(image.transpose(1, 2, 0), fit_square(open_image(photos / file), 8, 0.5, "bilinear"))


def test_images_are_mapped_from_disk_and_read_only(photos):
    images = load(config(photos)).train.images
    assert isinstance(images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_a_folder_and_its_zip_give_the_same_arrays(home):
    entries = pets()
    (home / "pets.zip").write_bytes(zip_bytes(entries).getvalue())
    for name, content in entries.items():
        path = home / "pets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    folder, packed = load(config(home / "pets")), load(config(home / "pets.zip"))
    assert np.array_equal(folder.train.images, packed.train.images)
    assert folder.val.files == packed.val.files


def test_a_second_load_decodes_nothing(photos, decoded):
    first = load(config(photos))
    assert len(decoded) == 18
    second = load(config(photos))
    assert len(decoded) == 18
    assert np.array_equal(first.train.images, second.train.images)


def test_only_the_splits_that_are_asked_for_are_made(photos, decoded):
    data = load(config(photos), splits=("val",))
    assert data.train is None
    assert len(data.val) == 6
    assert len(decoded) == 6


def test_a_changed_file_is_decoded_again(photos, decoded):
    before = load(config(photos)).train.images[0].copy()
    (photos / TRAIN[0]).write_bytes(image_bytes(99, (11, 11)))
    assert not np.array_equal(load(config(photos)).train.images[0], before)
    assert len(decoded) == 18 + 12  # the validation images did not change


def test_a_new_and_a_removed_file_count(photos):
    load(config(photos))
    (photos / "train/cat/new.png").write_bytes(image_bytes(7))
    (photos / VAL[0]).unlink()
    data = load(config(photos))
    assert (len(data.train), len(data.val)) == (13, 5)


def test_the_cache_depends_on_the_size_and_on_the_seed_only_where_it_matters(photos, decoded):
    load(config(photos))
    load(config(photos, image_size=16))
    assert len(decoded) == 36
    load(config(photos, seed=1))  # the folder has validation images
    assert len(decoded) == 36
    load(config(photos, seed=1, train_images=6))
    assert len(decoded) == 42


def test_a_subset_is_stratified_and_always_the_same(photos):
    first, again = (load(config(photos, train_images=6, val_images=2)) for _ in range(2))
    assert np.bincount(first.train.labels).tolist() == [3, 3]
    assert first.val.labels.tolist() == [0, 1]
    assert first.train.files == again.train.files
    assert first.train.files != load(config(photos, train_images=6, seed=1)).train.files


@pytest.mark.parametrize("damage", ["images.npy", "labels.npy", "index.json"])
def test_a_cache_that_was_cut_off_is_made_again(photos, decoded, damage):
    load(config(photos), splits=("val",))
    (path,) = (photos.parent / "data" / "cache").glob(f"*/{damage}")
    os.truncate(path, path.stat().st_size // 2)
    assert len(load(config(photos), splits=("val",)).val) == 6
    assert len(decoded) == 12


def test_nothing_half_made_is_left_when_decoding_is_broken_off(photos):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(config(photos), progress=stop)
    assert not [entry for entry in (photos.parent / "data" / "cache").iterdir() if entry.is_dir()]


def test_progress_rises_to_all_images(photos, monkeypatch):
    monkeypatch.setattr(cache, "CHUNK", 4)
    calls: list[tuple[int, int]] = []
    load(config(photos), progress=lambda *call: calls.append(call))
    assert calls == sorted(calls)
    assert {total for _, total in calls} == {18}
    assert calls[0] == (4, 18)
    assert calls[-1] == (18, 18)


def test_more_rows_than_one_chunk_keep_their_order(photos, monkeypatch):
    whole = load(config(photos)).train
    monkeypatch.setattr(cache, "CHUNK", 5)
    monkeypatch.setattr(cache, "LAYOUT", -1)
    chunked = load(config(photos)).train
    assert np.array_equal(whole.images, chunked.images)
    assert whole.files == chunked.files


def test_two_processes_may_ask_at_once_and_one_decodes(photos):
    script = (
        "import sys; from vit.config import DataConfig; from vit.data import load; from vit.data.files import folders\n"
        "decode, names = folders._decode, []\n"
        "def counting(content, name, **how): names.append(name); return decode(content, name, **how)\n"
        "folders._decode = counting\n"
        "data = load(DataConfig(source=sys.argv[1], image_size=8)); print(len(names), int(data.train.images.sum()))"
    )
    command = [sys.executable, "-c", script, str(photos)]
    root = str(cache.data_dir().parent)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "HOME": root}
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    answers = [process.communicate(timeout=60)[0].split() for process in processes]
    assert all(process.returncode == 0 for process in processes)
    assert sum(int(count) for count, _ in answers) == 18
    assert len({total for _, total in answers}) == 1


def test_threads_may_ask_at_once_and_one_decodes(photos, decoded):
    totals: list[int] = []
    threads = [
        threading.Thread(target=lambda: totals.append(load(config(photos)).train.images.sum())) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(totals) == 6
    assert len(set(totals)) == 1
    assert len(decoded) == 18


def test_classes_that_are_no_longer_the_runs_are_refused(photos):
    assert load(config(photos, class_names=("cat", "dog"))).class_names == ("cat", "dog")
    with pytest.raises(DataError, match=r"classes of photos have changed from cat, cow to cat, dog"):
        load(config(photos, class_names=("cat", "cow")))


def test_a_data_set_that_is_gone_is_a_sentence(photos):
    load(config(photos))
    photos.rename(photos.with_name("other"))
    with pytest.raises(DataError, match="There is no data set"):
        load(config(photos))


def test_a_full_disk_is_a_sentence(photos, monkeypatch):
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "_decoded", full)
    with pytest.raises(DataError, match=r"cannot be written to .*No space left on device"):
        load(config(photos))


def test_scenes_come_with_masks_and_in_their_own_order(home):
    data = load(config("scenes", image_size=32, train_images=10, val_images=5))
    assert data.class_names == scenes.CLASSES
    assert data.train.labels.tolist() == [0, 1, 2, 3, 4] * 2
    assert data.val.images.shape == (5, 3, 32, 32)
    for index in (0, 4):
        image, mask, label = scenes.draw(index, split="val", image_size=32)
        assert np.array_equal(data.val.images[index], image.transpose(2, 0, 1))
        assert np.array_equal(data.val.masks[index], mask)
        assert data.val.labels[index] == label


def test_more_scenes_than_usual_are_drawn_on_request(home, monkeypatch):
    monkeypatch.setitem(scenes.SPLIT_COUNTS, "train", 5)
    few, more = (load(config("scenes", image_size=32, train_images=count, val_images=5)).train for count in (None, 12))
    assert (len(few), len(more)) == (5, 12)
    assert np.array_equal(few.images, more.images[:5])
    monkeypatch.setattr(scenes, "IMAGES_MAX", 8)
    assert len(load(config("scenes", image_size=32, train_images=13, val_images=5)).train) == 8


def test_scenes_have_a_range_of_sizes(home):
    with pytest.raises(DataError, match="at 16 pixels: choose an image size from 32 to 224"):
        load(config("scenes", image_size=16))


def test_a_sample_shows_every_class_in_turn(photos):
    shown = sample(str(photos), 5, image_size=16)
    assert [image.shape for image, _ in shown] == [(16, 16, 3)] * 5
    assert sorted(label for _, label in shown[:2]) == ["cat", "dog"]
    assert sorted(label for _, label in shown[2:4]) == ["cat", "dog"]
    assert [label for _, label in sample("scenes", 6, image_size=32)][:5] == list(scenes.CLASSES)


def test_describing_scenes_draws_nothing(home):
    info = describe("scenes")
    assert (info.train_count, info.val_count, info.image_size, info.auto_image_size) == (5000, 1000, 64, 64)
    assert not (home / "data").exists()


def test_describing_and_loading_need_no_torch(photos):
    script = (
        "import sys; from vit.config import DataConfig; from vit.data import load, sources; sources();"
        "load(DataConfig(source=sys.argv[1], image_size=8)); sys.exit('torch' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", script, str(photos)], env=environment, check=False).returncode == 0


def test_images_are_prepared_once_both_splits_are_there(home):
    config = DataConfig(source="scenes", image_size=32, train_images=10, val_images=5)
    assert not is_prepared(config)
    load(config, splits=("val",))
    assert not is_prepared(config)
    load(config)
    assert is_prepared(config)
    assert not is_prepared(config.model_copy(update={"val_images": 10}))
