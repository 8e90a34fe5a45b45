"""Data sets from arrays and from PyTorch data sets."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset
from torchvision.datasets import FakeData

from vit import RunConfig, ViTConfig, fit
from vit.config import TrainingConfig
from vit.data import ImageData
from vit.errors import DataError

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)
LABELS = np.arange(20) % 2


@pytest.mark.parametrize(
    ("images", "layout"),
    [
        (PIXELS, "hwc"),
        (PIXELS.transpose(0, 3, 1, 2), "chw"),
        (PIXELS / 255, "hwc"),
        (torch.from_numpy(PIXELS).permute(0, 3, 1, 2).float() / 255, "chw"),
    ],
)
def test_every_kind_of_array_gives_the_same_pixels(images, layout):
    data = ImageData.from_arrays(images, LABELS, val=(images, torch.from_numpy(LABELS)), layout=layout)
    train, val = data.splits()
    np.testing.assert_array_equal(train.images, PIXELS.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(val.labels, LABELS)
    assert data.class_names == ("0", "1")
    assert data.remarks == (
        "20 of the 20 validation images are also among the training images, so the accuracy is too high.",
    )


def test_grey_images_get_three_equal_channels_and_other_sides_are_cropped_to_the_central_square():
    grey = np.zeros((4, 16, 32), np.uint8)
    grey[:, :, 8:24] = 200
    data = ImageData.from_arrays(grey, ["cat", "cat", "dog", "dog"])
    train, val = data.splits()
    assert train.images.shape == (2, 3, 16, 16)
    assert (train.images == 200).all()
    assert sorted(map(int, val.labels)) == [0, 1]
    assert data.class_names == ("cat", "dog")


def test_one_in_five_is_used_for_validation_and_each_image_keeps_its_label():
    labels = np.repeat([0, 1], 10)
    images = np.broadcast_to(np.where(labels, 255, 0).astype(np.uint8)[:, None, None, None], (20, 8, 8, 3))
    train, val = ImageData.from_arrays(images, labels, class_names=("black", "white")).splits()
    assert (len(train), len(val)) == (16, 4)
    for split in (train, val):
        np.testing.assert_array_equal(split.images[:, 0, 0, 0] == 255, split.labels == 1)


@pytest.mark.parametrize(
    ("images", "labels", "options", "said"),
    [
        (PIXELS, LABELS[:5], {}, "There are 20 images and 5 labels"),
        (PIXELS, LABELS, {"layout": "chw"}, "16 channels in the layout 'chw': give 1 or 3, or the layout 'hwc'"),
        (PIXELS, LABELS, {"layout": "nchw"}, "The layout 'nchw' is unknown"),
        (PIXELS.astype(np.int64), LABELS, {}, "of the type int64: give uint8, or floats from 0 to 1"),
        (PIXELS * 1.0, LABELS, {}, "values from 0 to 255: give floats from 0 to 1, or uint8"),
        (np.full(PIXELS.shape, np.nan), LABELS, {}, "values from nan to nan"),
        (PIXELS[0], LABELS[:16], {"layout": "chw"}, "The images have 3 pixels a side"),
        (PIXELS[:, 0, 0], LABELS, {}, "The images have the shape"),
        (PIXELS, LABELS * 0.5, {}, "The labels are float64 numbers"),
        (PIXELS, LABELS[:, None], {}, "one label for each image, in one dimension"),
        (PIXELS, LABELS * 0, {}, "There is only one class"),
        (PIXELS, LABELS * 2 - 1, {}, "The label -1 is not one of the"),
        (PIXELS, LABELS, {"class_names": ("cat",)}, "two classes or more"),
        (PIXELS, LABELS + 1, {"class_names": ("cat", "dog")}, "The label 2 is not one of the 2 classes"),
        (PIXELS[:3], LABELS[:3], {}, "has only one image"),
        (PIXELS, LABELS, {"val": PIXELS}, "val is not a pair"),
        (PIXELS, LABELS, {"image_size": 4}, "image_size = 4 is not possible"),
        (PIXELS, LABELS * 2, {"val": (PIXELS, LABELS)}, "The class '1' has no training image"),
    ],
)
def test_what_is_wrong_with_arrays_is_said_in_one_sentence(images, labels, options, said):
    with pytest.raises(DataError, match=said) as caught:
        ImageData.from_arrays(images, labels, **options)
    assert "\n" not in str(caught.value)


def test_a_dataset_of_torchvision_is_read_as_it_is():
    source = FakeData(size=12, image_size=(3, 20, 16), num_classes=3)
    data = ImageData.from_dataset(source, val=source, image_size=16)
    expected = [np.asarray(image.crop((0, 2, 16, 18))) for image, _ in source]
    np.testing.assert_array_equal(data.train.images, np.stack(expected).transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(data.train.labels, [int(label) for _, label in source])


def test_tensors_have_their_channels_first_and_iterable_datasets_are_read_to_their_end():
    class Stream(IterableDataset):
        classes = ("cat", "dog")

        def __iter__(self):
            return iter(TensorDataset(torch.from_numpy(PIXELS).permute(0, 3, 1, 2), torch.from_numpy(LABELS)))

    data = ImageData.from_dataset(Stream(), val=Stream())
    np.testing.assert_array_equal(data.train.images, PIXELS.transpose(0, 3, 1, 2))
    assert data.class_names == ("cat", "dog")


def test_an_item_that_is_no_image_is_named():
    class Broken(Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, row):
            return (Image.new("RGB", (16, 16)), 0) if row < 2 else ("a path", 1)

    with pytest.raises(DataError, match="Item 2 of the data set cannot be used"):
        ImageData.from_dataset(Broken())
    with pytest.raises(DataError, match="Item 0 of the data set is not a pair"):
        ImageData.from_dataset([Image.new("RGB", (16, 16))])
    with pytest.raises(DataError, match="int is not a data set"):
        ImageData.from_dataset(3)


def test_a_network_learns_from_arrays():
    dark = RANDOM.integers(0, 100, (40, 16, 16, 3), dtype=np.uint8)
    bright = RANDOM.integers(150, 256, (40, 16, 16, 3), dtype=np.uint8)
    data = ImageData.from_arrays(np.concatenate([dark, bright]), ["dark"] * 40 + ["bright"] * 40)
    network = ViTConfig(image_size=16, patch_size=8, embed_dim=16, num_heads=2, depth=1, stem="patch", num_classes=2)
    config = RunConfig(
        model=network, data=data.config(), training=TrainingConfig(epochs=4, batch_size=16, device="cpu", snapshots=0)
    )
    events = list(fit(config, data))
    accuracies = [event.val_accuracy for event in events if hasattr(event, "val_accuracy")]
    assert accuracies[-1] == 1
