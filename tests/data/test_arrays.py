"""From archives to arrays in memory maps: small IDX files, read and written for real."""

import gzip
from dataclasses import replace

import numpy as np
import pytest

from tasks.data.arrays import map_arrays, write_arrays
from tasks.data.dataset import MNIST, Archive, Dataset
from tasks.data.idx import format_idx
from tasks.errors import InvalidArchive

TINY = Dataset(
    "tiny",
    Archive("train-images", ""),
    Archive("train-labels", ""),
    Archive("test-images", ""),
    Archive("test-labels", ""),
    training_images=5,
    validation_images=2,
)
STREAM = np.random.RandomState(0)
GOOD = {
    "train-images": STREAM.randint(0, 256, (7, 28, 28)).astype(np.uint8),
    "train-labels": np.arange(7, dtype=np.uint8),
    "test-images": STREAM.randint(0, 256, (3, 28, 28)).astype(np.uint8),
    "test-labels": np.array([9, 0, 9], np.uint8),
}


@pytest.fixture
def write(tmp_path):
    """Write the four archives, some of them changed, then the arrays; gives the folder with these."""

    def run(dataset=TINY, **changed):
        for name, values in {**GOOD, **{name.replace("_", "-"): values for name, values in changed.items()}}.items():
            (tmp_path / name).write_bytes(values if isinstance(values, bytes) else gzip.compress(format_idx(values)))
        arrays = tmp_path / "arrays"
        arrays.mkdir(exist_ok=True)
        write_arrays(dataset, tmp_path, arrays)
        return arrays

    return run


def test_the_first_images_are_for_validation(write):
    """Images and labels are split at the same place, and each image is one row of 784."""
    splits = map_arrays(write())
    rows = GOOD["train-images"].reshape(7, 784)
    np.testing.assert_array_equal(rows[:2], splits.validation.images)
    np.testing.assert_array_equal(rows[2:], splits.training.images)
    np.testing.assert_array_equal([0, 1], splits.validation.labels)
    np.testing.assert_array_equal([2, 3, 4, 5, 6], splits.training.labels)
    np.testing.assert_array_equal(GOOD["test-images"].reshape(3, 784), splits.test.images)
    np.testing.assert_array_equal([9, 0, 9], splits.test.labels)


def test_arrays_are_mapped_and_read_only(write):
    """Arrays are memory maps of uint8, so that processes share their pages, and nobody can change them."""
    splits = map_arrays(write())
    for split in (splits.training, splits.validation, splits.test):
        for values in (split.images, split.labels):
            assert isinstance(values, np.memmap)
            assert np.uint8 == values.dtype
            assert not values.flags.writeable


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"train_labels": GOOD["train-images"]}, r"train-labels: expected labels \(1 dimension\), found images"),
        ({"test_images": GOOD["test-labels"]}, r"test-images: expected images \(3 dimensions\), found labels"),
        ({"train_labels": GOOD["train-labels"][:-1]}, "train-images: 7 images, but 6 labels beside it"),
        ({"test_images": GOOD["test-images"][:2]}, "test-images: 2 images, but 3 labels beside it"),
        (
            {"train_images": GOOD["train-images"][:, :20]},
            "train-images: images of 20x28, and dataset 'tiny' declares 28x28",
        ),
        (
            {"test_labels": np.array([1, 2, 10], np.uint8)},
            "test-labels: label 10, expected 0 to 9: dataset 'tiny' has 10 class names",
        ),
        (
            {"train_images": GOOD["train-images"][:6], "train_labels": GOOD["train-labels"][:6]},
            "train-images: 6 images, and dataset 'tiny' declares 7",
        ),
        (
            {"train_images": np.zeros((7, 28, 28, 3), np.uint8)},
            r"train-images: expected images \(3 .*, found images with channels \(4 .*; does the dataset declare ",
        ),
        (
            {"test_images": GOOD["test-images"][:0], "test_labels": GOOD["test-labels"][:0]},
            "test-images: holds no image",
        ),
        ({"test_images": gzip.compress(format_idx(GOOD["test-images"]))[:-20]}, "test-images: the gzip stream is"),
        ({"test_images": format_idx(GOOD["test-images"]) + b"more"}, "test-images: bytes left over"),
        ({"train_images": b"<html></html>"}, r"train-images: .*\(it looks like a web page\)"),
    ],
)
def test_archives_that_do_not_fit_are_refused(write, tmp_path, changed, text):
    """Archives that are swapped, damaged, or do not fit each other or the dataset: the error names the file."""
    with pytest.raises(InvalidArchive, match=f"^{tmp_path}/{text}"):
        write(**changed)


def test_images_with_channels_are_rows_of_height_width_and_channel(write):
    """What a network reshapes to the shape that the dataset declares is the image; another width is refused."""
    images = STREAM.randint(0, 256, (7, 4, 3, 2)).astype(np.uint8)
    labels = np.array([0, 1, 1, 0, 1, 0, 1], np.uint8)
    files = {"train_images": images, "train_labels": labels, "test_images": images[:3], "test_labels": labels[:3]}
    coloured = replace(TINY, shape=(4, 3, 2), class_names=("dark", "light"))
    splits = map_arrays(write(coloured, **files))
    np.testing.assert_array_equal(images[2:], splits.training.images.reshape(-1, 4, 3, 2))
    with pytest.raises(InvalidArchive, match=r"images of 4x3x2, and dataset 'tiny' declares 3x4x2$"):
        write(replace(coloured, shape=(3, 4, 2)), **files)


@pytest.mark.mnist
def test_the_original_archives_are_split_as_in_the_tutorial(mnist_dir, tmp_path):
    """MNIST gives 55,000, 5,000 and 10,000 images; its first label is the 5 that everybody knows."""
    write_arrays(MNIST, mnist_dir, tmp_path)
    splits = map_arrays(tmp_path)
    found = [split.images.shape for split in (splits.training, splits.validation, splits.test)]
    assert [(55000, 784), (5000, 784), (10000, 784)] == found
    assert 5 == splits.validation.labels[0]
