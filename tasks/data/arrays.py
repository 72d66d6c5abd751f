"""From verified archives to arrays on disk that any number of processes map into memory and share."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.data.dataset import CLASSES, IMAGE_SIDE, PIXELS, Archive, Dataset
from tasks.data.idx import read_idx
from tasks.errors import InvalidArchive


@dataclass(frozen=True)
class Split:
    """Images uint8 [n, 784] with values 0 to 255, row by row, and their labels uint8 [n] with values 0 to 9."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


@dataclass(frozen=True)
class Splits:
    """What a model is trained on, chosen by, and measured on."""

    training: Split
    validation: Split
    test: Split


def write_arrays(dataset: Dataset, archives: Path, directory: Path) -> dict[str, int]:
    """Decode the four archives and write the three splits into `directory` as six `.npy` files.

    Returns:
        Split -> how many images it has.

    Raises:
        InvalidArchive: a file is not IDX, or images and labels do not fit each other or the dataset.
    """
    images, labels = _read_pair(archives, dataset.train_images, dataset.train_labels)
    expected = dataset.training_images + dataset.validation_images
    if len(labels) != expected:
        raise InvalidArchive(
            f"{archives / dataset.train_images.name}: {len(labels)} images, "
            f"and dataset {dataset.name!r} declares {expected}"
        )
    test_images, test_labels = _read_pair(archives, dataset.test_images, dataset.test_labels)
    cut = dataset.validation_images
    splits = {
        "training": (images[cut:], labels[cut:]),
        "validation": (images[:cut], labels[:cut]),
        "test": (test_images, test_labels),
    }
    for split, pair in splits.items():
        for kind, values in zip(("images", "labels"), pair, strict=True):
            content = io.BytesIO()
            np.save(content, values)
            # not by NumPy, which tells a full disk as "392000 requested and 44928 written"
            (directory / f"{split}_{kind}.npy").write_bytes(content.getbuffer())
    return {split: len(pair[1]) for split, pair in splits.items()}


def map_arrays(directory: Path) -> Splits:
    """Map what `write_arrays` wrote; the arrays are read-only and their pages are shared between processes."""

    def load(split: str) -> Split:
        return Split(*(np.load(directory / f"{split}_{kind}.npy", mmap_mode="r") for kind in ("images", "labels")))

    return Splits(training=load("training"), validation=load("validation"), test=load("test"))


def _read_pair(archives: Path, images: Archive, labels: Archive) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images as uint8 [n, 784] and labels as uint8 [n], checked against each other."""
    pixels = read_idx(archives / images.name, dimensions=3)  # (n, 28, 28)
    classes = read_idx(archives / labels.name, dimensions=1)  # (n,)
    if pixels.shape[1:] != (IMAGE_SIDE, IMAGE_SIDE):
        raise InvalidArchive(
            f"{archives / images.name}: images of {pixels.shape[1]}x{pixels.shape[2]} pixels, expected 28x28"
        )
    if len(pixels) != len(classes):
        raise InvalidArchive(f"{archives / images.name}: {len(pixels)} images, but {len(classes)} labels beside it")
    if len(classes) and classes.max() >= CLASSES:
        raise InvalidArchive(f"{archives / labels.name}: label {classes.max()}, expected 0 to {CLASSES - 1}")
    return pixels.reshape(len(pixels), PIXELS), classes
