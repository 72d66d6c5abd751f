"""A dataset that takes no time: `luigi --module tests.small ... --dataset small` is the pipeline with it added.

Ten kinds of 28x28 images (a bright bar in one of ten places, and noise), which a softmax learns in a few iterations.
"""

import gzip
import hashlib
from pathlib import Path

import numpy as np

import tasks
from tasks.data.dataset import DATASETS, Archive, Dataset
from tasks.data.idx import format_idx
from tasks.execution.computations import form_of
from tasks.model.architectures import find_architecture
from tasks.recipes.recipe import KEYS, Recipe

__all__ = ["ARCHIVES", "FORM", "SMALL", "make_recipe", "tasks", "write_archives"]


def make_images(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [count, 28, 28] and labels uint8 [count]."""
    stream = np.random.RandomState(seed)
    labels = (np.arange(count) % 10).astype(np.uint8)
    images = stream.randint(0, 60, size=(count, 28, 28)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4 + 2 * label : 6 + 2 * label, 4:24] = 230
    return images, labels


def _make_archives() -> dict[str, bytes]:
    train_images, train_labels = make_images(600, 1)
    test_images, test_labels = make_images(200, 2)
    parts = {
        "train-images-idx3-ubyte.gz": train_images,
        "train-labels-idx1-ubyte.gz": train_labels,
        "t10k-images-idx3-ubyte.gz": test_images,
        "t10k-labels-idx1-ubyte.gz": test_labels,
    }
    return {name: gzip.compress(format_idx(values), mtime=0) for name, values in parts.items()}


ARCHIVES = _make_archives()

SMALL = Dataset(
    "small",
    *(Archive(name, hashlib.sha256(content).hexdigest(), len(content)) for name, content in ARCHIVES.items()),
    training_images=500,
    validation_images=100,
    mirrors=("http://127.0.0.1:9/",),
)
DATASETS[SMALL.name] = SMALL
FORM = form_of(SMALL.name)


def make_recipe(**given) -> Recipe:
    """A recipe for the small dataset: what is given, and for the rest the defaults of the model or of the table."""
    defaults = {name: key.default for name, key in KEYS.items()}
    own = find_architecture(given.get("model", defaults["model"]))
    of_the_model = {"optimizer": own.optimizer, "learning_rate": own.learning_rate}
    return Recipe(**{**defaults, **of_the_model, "dataset": SMALL.name, **given})


def write_archives(directory: Path) -> Path:
    """Put the four archives into `directory`, which can then serve as a mirror."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in ARCHIVES.items():
        (directory / name).write_bytes(content)
    return directory
