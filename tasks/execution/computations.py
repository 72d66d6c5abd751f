"""What a training and an export compute: plain functions of folders and small values, so that any process can run them.

They need TensorFlow, which is imported where they begin.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.data.dataset import find_dataset
from tasks.execution.calls import Report
from tasks.execution.curves import Curve, write_curve
from tasks.model.architectures import find_architecture
from tasks.model.images import Form
from tasks.recipes.recipe import Recipe
from tasks.versions.compatibility import Baseline
from tasks.versions.manifest import Files, Manifest, made_with
from tasks.versions.tree import Fault, Verified
from tasks.versions.wanted_version import WantedVersion

if TYPE_CHECKING:  # every run reads this module
    import numpy as np
    from numpy.typing import NDArray


def train_segment(
    directory: Path,
    recipe: Recipe,
    arrays_directory: Path,
    *,
    total_iterations: int,
    start: int,
    previous: Path | None,
    report: Report,
) -> float:
    """Train from iteration `start` to `recipe.training_iteration`, and leave state and learning curve in `directory`.

    Args:
        directory: empty.
        recipe: what to train.
        arrays_directory: what PrepareDataset left.
        total_iterations: see `training.train`.
        start: iterations that `previous` has done.
        previous: the folder of the segment before; None at iteration 0.
        report: called with the fraction of `recipe.training_iteration` that is done, and a line that says it.

    Returns:
        The loss of the last iteration.

    Raises:
        TrainingFailed: see `training.train`.
    """
    from tasks.data import arrays
    from tasks.model import checkpoints, training
    from tasks.model.tensorflow_setup import give_memory_back

    stop, points, began = recipe.training_iteration, list[tuple[int, float]](), time.monotonic()
    images = arrays.map_arrays(arrays_directory).training

    def tell(done: int, loss: float) -> None:
        points.append((done, loss))
        report(done / stop, f"iteration {done} of {stop}, loss {loss:.4f}")

    state = training.train(
        recipe,
        images.images,
        images.labels,
        form=form_of(recipe.dataset),
        total_iterations=total_iterations,
        start=start,
        stop=stop,
        state=None if previous is None else checkpoints.load_state(previous),
        report=tell,
    )
    checkpoints.save_state(directory, state)
    give_memory_back()  # an export follows, perhaps beside other trainings
    write_curve(directory, Curve(start, round(time.monotonic() - began, 3), points))
    return points[-1][1]


def export_version(
    directory: Path, wanted: WantedVersion, trained: Path, arrays_directory: Path, baseline: Baseline | None
) -> tuple[Manifest, dict[str, Any]]:
    """Fill `directory` with a version, and hold it against the one in service.

    Args:
        directory: empty, not yet visible to a server.
        wanted: the version.
        trained: the folder of the last segment of its training.
        arrays_directory: what PrepareDataset left.
        baseline: the version in service, None for none.

    Returns:
        The manifest, and what is to be recorded of the comparison.

    Raises:
        ExportFailed: it must not be published; see `savedmodel.export` and `savedmodel.comparison`.
    """
    from tasks.data import arrays
    from tasks.model import checkpoints
    from tasks.savedmodel import export
    from tasks.savedmodel.comparison import compare_with_baseline

    splits = arrays.map_arrays(arrays_directory)
    manifest = export.export_version(
        directory,
        wanted,
        architecture=find_architecture(wanted.recipe.model),
        form=form_of(wanted.recipe.dataset),
        weights=checkpoints.load_weights(trained),
        measured_on={"validation": splits.validation, "test": splits.test},
        dataset_checksums=find_dataset(wanted.recipe.dataset).checksums,
        made_with=made_with(),
    )
    return manifest, compare_with_baseline(baseline, manifest, directory, splits.validation)


def ask_version(
    directory: Path, arrays_directory: Path, *, classes: int, timed: bool
) -> tuple[dict[str, NDArray[np.float32]], dict[int, float]]:
    """What a version answers to all validation and test images, and how long requests take if `timed`.

    Returns:
        Split -> scores float32 [n, 10], and images in a request -> seconds that it takes.

    Raises:
        ExportFailed: it does not load, or its answers are not `classes` scores for each image.
    """
    from tasks.data import arrays
    from tasks.savedmodel import answers

    splits = arrays.map_arrays(arrays_directory)
    asked = {"validation": splits.validation.images, "test": splits.test.images}
    return answers.ask(directory, asked, classes=classes, timed=splits.test.images if timed else None)


def form_of(dataset: str) -> Form:
    """What a dataset asks of a network."""
    found = find_dataset(dataset)
    return Form(found.shape, found.class_names)


def verify_tree(
    base_path: Path,
    versions: Collection[int],
    *,
    promoted: Mapping[int, Files],
    public_key: Path | None = None,
    report: Report,
) -> tuple[list[Fault], list[Verified]]:
    """Verify a base path: what is wrong with its entries, and each version; see `savedmodel.verification`."""
    from tasks.savedmodel import verification

    return verification.verify_tree(base_path, versions, report=report, promoted=promoted, public_key=public_key)


def verify_version(directory: Path, promoted: Files | None = None, public_key: Path | None = None) -> Verified:
    """Verify one version: files, both loaders, warm-up, golden answers, signatures."""
    from tasks.savedmodel import verification

    return verification.verify_version(directory, promoted, public_key)
