"""From verified archives to arrays on disk that any number of processes map into memory and share."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.data.dataset import Archive, Dataset
from tasks.data.idx import read_idx
from tasks.errors import InvalidArchive


@dataclass(frozen=True)
class Split:
    """Images and their labels, uint8 [n]: each image is one row of uint8 values, by height, width and channel."""

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
    images, labels = _read_pair(dataset, archives, dataset.train_images, dataset.train_labels)
    expected = dataset.training_images + dataset.validation_images
    if len(labels) != expected:
        raise InvalidArchive(
            f"{archives / dataset.train_images.name}: {len(labels)} images, "
            f"and dataset {dataset.name!r} declares {expected}"
        )
    test_images, test_labels = _read_pair(dataset, archives, dataset.test_images, dataset.test_labels)
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


def _read_pair(
    dataset: Dataset, archives: Path, images: Archive, labels: Archive
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images as uint8 [n, 784] and labels as uint8 [n], checked against each other and the dataset."""
    wanted = dataset.shape if dataset.shape[2] > 1 else dataset.shape[:2]  # grey images are written without channels
    pixels = read_idx(archives / images.name, dimensions=1 + len(wanted))  # (n, 28, 28)
    classes = read_idx(archives / labels.name, dimensions=1)  # (n,)
    if pixels.shape[1:] != wanted:
        found, declared = ("x".join(map(str, shape)) for shape in (pixels.shape[1:], wanted))
        raise InvalidArchive(
            f"{archives / images.name}: images of {found}, and dataset {dataset.name!r} declares {declared}"
        )
    if len(pixels) != len(classes):
        raise InvalidArchive(f"{archives / images.name}: {len(pixels)} images, but {len(classes)} labels beside it")
    if not len(pixels):
        raise InvalidArchive(f"{archives / images.name}: holds no image")
    if classes.max() >= len(dataset.class_names):
        raise InvalidArchive(
            f"{archives / labels.name}: label {classes.max()}, expected 0 to {len(dataset.class_names) - 1}: "
            f"dataset {dataset.name!r} has {len(dataset.class_names)} class names"
        )
    return pixels.reshape(len(pixels), -1), classes
