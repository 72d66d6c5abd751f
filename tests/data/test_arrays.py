"""From archives to arrays in memory maps: small IDX files, read and written for real."""

import gzip
import hashlib
import os
from dataclasses import replace

import numpy as np
import pytest

from tasks.data.arrays import map_arrays, write_arrays
from tasks.data.dataset import MNIST, Archive, Dataset
from tasks.data.idx import format_idx
from tasks.errors import InvalidArchive
from tests.pickles import Payload

TINY = Dataset(
    "tiny",
    *(Archive(name, "", 0) for name in ("train-images", "train-labels", "test-images", "test-labels")),
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
    """Write the four archives, some of them changed, then the arrays; gives the folder with these.

    The dataset knows their bytes; what comes `between` is done before they are decoded.
    """

    def run(dataset=TINY, *, between=lambda: None, **changed):
        known = {}
        for name, values in {**GOOD, **{name.replace("_", "-"): values for name, values in changed.items()}}.items():
            content = values if isinstance(values, bytes) else gzip.compress(format_idx(values), mtime=0)
            (tmp_path / name).write_bytes(content)
            known[name.replace("-", "_")] = Archive(name, hashlib.sha256(content).hexdigest(), len(content))
        arrays = tmp_path / "arrays"
        arrays.mkdir(exist_ok=True)
        between()
        write_arrays(replace(dataset, **known), tmp_path, arrays)
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


def test_what_is_decoded_is_what_has_the_checksum(write, tmp_path):
    """An archive that another one replaced since it was fetched is refused: its name, what it is, and what to do."""
    content = gzip.compress(format_idx(np.arange(7, dtype=np.uint8)[::-1].copy()), mtime=0)
    labels = tmp_path / "train-labels"
    with pytest.raises(
        InvalidArchive, match=f"^{labels}: has SHA-256 {hashlib.sha256(content).hexdigest()}, expected "
    ):
        write(between=lambda: labels.write_bytes(content))
    with pytest.raises(InvalidArchive, match=f"^{labels}: has more bytes, expected .*; remove it and run again: it is"):
        write(between=lambda: labels.write_bytes(content * 2))
    with pytest.raises(InvalidArchive, match=f"^{labels}: No such file or directory; remove it and run again"):
        write(between=labels.unlink)
    assert [] == list((tmp_path / "arrays").iterdir())


def test_what_is_no_file_is_not_waited_for(write, tmp_path):
    """A FIFO in the place of an archive, which nobody ever writes to, is refused at once."""
    images = tmp_path / "test-images"

    def replace_it():
        images.unlink()
        os.mkfifo(images)

    with pytest.raises(InvalidArchive, match=f"^{images}: Not a regular file; remove it and run again"):
        write(between=replace_it)


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


@pytest.mark.parametrize("name", ["training_images", "test_labels"])
def test_a_pickle_among_the_arrays_is_not_opened(tmp_path, name):
    """NumPy would run what is in it: it is refused, and nothing in it is run."""
    for split in ("training", "validation", "test"):
        for kind in ("images", "labels"):
            np.save(tmp_path / f"{split}_{kind}.npy", np.zeros((3, 4) if kind == "images" else 3, np.uint8))
    payload = Payload(tmp_path / "was-run")
    payload.prove()
    np.save(tmp_path / f"{name}.npy", np.array([payload], dtype=object), allow_pickle=True)
    with pytest.raises(InvalidArchive, match="Array can't be memory-mapped: Python objects in dtype"):
        map_arrays(tmp_path)
    (tmp_path / f"{name}.npy").write_bytes(payload.pickled())
    with pytest.raises(InvalidArchive, match="contains pickled"):
        map_arrays(tmp_path)
    assert not payload.path.exists()
