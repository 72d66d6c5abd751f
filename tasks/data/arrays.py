"""From verified archives to arrays on disk that any number of processes map into memory and share."""

import io
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.data.dataset import Archive, Dataset
from tasks.data.idx import MOST_VALUES, parse_idx
from tasks.errors import InvalidArchive

KINDS = {"images": 2, "labels": 1}  # the arrays of a split, and how many dimensions they have


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

    Each archive is read once: what is decoded are the very bytes that were held against its checksum.

    Returns:
        Split -> how many images it has.

    Raises:
        InvalidArchive: a file has not the checksum that the dataset says, or is not IDX, or images and labels do not
            fit each other or the dataset.
    """
    expected = dataset.training_images + dataset.validation_images
    images, labels = _read_pair(dataset, archives, dataset.train_images, dataset.train_labels, expected)
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
    """Map what `write_arrays` wrote; the arrays are read-only and their pages are shared between processes.

    Raises:
        InvalidArchive: a file is not one of these.
    """
    found = directory.stat()
    return _map_splits(directory, (found.st_dev, found.st_ino, found.st_ctime_ns))


@lru_cache(maxsize=2)  # an engine is asked for the same again and again; a folder in its place is another one
def _map_splits(directory: Path, _: tuple[int, int, int]) -> Splits:
    def load(split: str) -> Split:
        return Split(*(_map(directory / f"{split}_{kind}.npy", number) for kind, number in KINDS.items()))

    return Splits(training=load("training"), validation=load("validation"), test=load("test"))


def _map(path: Path, dimensions: int) -> NDArray[np.uint8]:
    try:
        values = np.load(path, mmap_mode="r")
        if values.dtype != np.uint8 or values.ndim != dimensions:
            raise ValueError(f"{values.dtype} of {values.ndim} dimensions")
    except Exception as error:
        raise InvalidArchive(
            f"{path}: no array of a dataset ({type(error).__name__}: {error}); remove {path.parent} and run again: "
            "the archives are decoded again"
        ) from error
    return values


def _read_pair(
    dataset: Dataset, archives: Path, images: Archive, labels: Archive, count: int | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images as uint8 [n, 784] and labels as uint8 [n], checked against each other and the dataset.

    Of more than `count` images, where that is known, nothing is unpacked.
    """
    wanted = dataset.shape if dataset.shape[2] > 1 else dataset.shape[:2]  # grey images are written without channels
    most = MOST_VALUES if count is None else count * math.prod(wanted)
    source = str(archives / images.name)
    pixels = parse_idx(images.read(archives), dimensions=1 + len(wanted), source=source, most=most)  # (n, 28, 28)
    classes = parse_idx(labels.read(archives), dimensions=1, source=str(archives / labels.name))  # (n,)
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
