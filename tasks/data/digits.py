"""The digits that scikit-learn carries, written as MNIST-like IDX files: a dataset that needs no network."""

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.data.dataset import Dataset
from tasks.data.idx import format_idx
from tasks.errors import DownloadFailed
from tasks.storage import publishing

SHUFFLE_SEED = 0


def write_archives(dataset: Dataset, directory: Path) -> None:
    """Write what `make_archives` makes into `directory`."""
    for name, content in make_archives(dataset).items():
        publishing.publish_file(directory / name, content)


def make_archives(dataset: Dataset) -> dict[str, bytes]:
    """The four IDX files of the embedded digits: name -> content.

    The 1,797 images of 8x8 pixels with values 0 to 16 are enlarged to 28x28 pixels with values 0 to 255. They are
    shuffled with a fixed seed, because the source is sorted by writer, and the last 400 are the test split.

    Raises:
        DownloadFailed: scikit-learn is not installed, or its digits are not those that this package knows.
    """
    if importlib.util.find_spec("sklearn") is None:
        raise DownloadFailed(
            f"dataset {dataset.name!r} comes with scikit-learn, which is not installed: "
            "pip install 'mnist-versions[digits]' (from a checkout: pip install -e '.[digits]')"
        )
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = enlarge(bunch.images.astype(np.uint8))  # (1797, 28, 28)
    labels = bunch.target.astype(np.uint8)  # (1797,)
    order = np.random.RandomState(SHUFFLE_SEED).permutation(len(labels))
    images, labels = images[order], labels[order]
    train = dataset.training_images + dataset.validation_images
    parts = (images[:train], labels[:train], images[train:], labels[train:])
    contents = {}
    for archive, values in zip(dataset.archives, parts, strict=True):
        content = format_idx(values)
        found = hashlib.sha256(content).hexdigest()
        if found != archive.sha256:
            raise DownloadFailed(
                f"{archive.name} made of scikit-learn's digits has SHA-256 {found}, expected {archive.sha256}; "
                "install a version of scikit-learn within the bounds that setup.cfg gives"
            )
        contents[archive.name] = content
    return contents


def enlarge(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [n, 8, 8] with values 0 to 16 -> uint8 [n, 28, 28] with values 0 to 255, in integer arithmetic.

    Each pixel becomes 3x3, and a border of two stays black: MNIST's digits do not touch the edge either.
    """
    scaled = (images.astype(np.uint16) * 255 // 16).astype(np.uint8)
    large = scaled.repeat(3, axis=1).repeat(3, axis=2)  # (n, 24, 24)
    return np.pad(large, ((0, 0), (2, 2), (2, 2)))
