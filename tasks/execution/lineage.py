"""The address of a training: a name that stands for all that shapes its weights but the number of iterations."""

import hashlib
import inspect
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import tasks.model
from tasks.data.dataset import Dataset, find_dataset
from tasks.errors import InvalidParameter
from tasks.model.architectures import find_architecture
from tasks.recipes.recipe import KEYS, MOST_ITERATIONS, ActsOn, Recipe
from tasks.versions.manifest import installed_version

DIGITS = 16  # of a SHA-256 in the name of a folder: 64 bits are plenty for what one machine trains
MODEL_SOURCES = Path(tasks.model.__file__).parent


def lineage(recipe: Recipe, total_iterations: int) -> str:
    """The name of the folder that holds the segments of one training.

    It stands for the recipe's keys that decide the weights, the data, TensorFlow's version, and the source of
    `tasks/model/` and of the architecture, so that an edited network never finds the weights of the one before.
    """
    keys = [name for name, key in KEYS.items() if key.acts_on is ActsOn.WEIGHTS and name != "training_iteration"]
    return digest(
        {
            "recipe": {name: getattr(recipe, name) for name in keys},
            "total_iterations": total_iterations,
            "dataset": _identity(find_dataset(recipe.dataset)),
            "tensorflow": installed_version("tensorflow"),
            "source": model_source(recipe.model),
        }
    )


def schedule_end(schedule: str, iterations: int, total: int) -> int:
    """After how many iterations a schedule ends; 0 for one that does not, or its training could not be shared.

    Args:
        schedule: of the learning rate.
        iterations: of the training.
        total: after which the schedule shall end; 0 for with the training.

    Raises:
        InvalidParameter: it would end before the training.
    """
    if schedule == "constant":
        return 0
    if total and total < iterations:
        raise InvalidParameter(
            f"total_iterations = {total}: allowed are 0 and whole numbers from "
            f"{iterations:,} (training_iteration) to {MOST_ITERATIONS:,}"
        )
    return total or iterations


def dataset_folder(dataset: Dataset) -> str:
    """The name of the folder that holds the arrays of a dataset."""
    return f"{dataset.name}-{digest(_identity(dataset))}"


def digest(value: Any) -> str:
    """A short name for any value that JSON can express."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:DIGITS]


@lru_cache(maxsize=32)
def model_source(model: str) -> str:
    """The SHA-256 of all source that a training of this architecture runs."""
    sources = [*sorted(MODEL_SOURCES.glob("*.py")), Path(inspect.getfile(find_architecture(model).logits))]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()


def _identity(dataset: Dataset) -> dict[str, Any]:
    """What tells apart two sets of arrays: the archives' checksums, the split, and what they were checked against."""
    return {
        "checksums": dataset.checksums,
        "validation_images": dataset.validation_images,
        "shape": dataset.shape,
        "classes": len(dataset.class_names),
    }
