"""What a training and an export compute: plain functions of folders and small values, so that any process can run them.

They need TensorFlow, which is imported where they begin.
"""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from tasks.data.dataset import find_dataset
from tasks.model.architectures import find_architecture
from tasks.recipes.recipe import Recipe
from tasks.versions.compatibility import Baseline
from tasks.versions.manifest import Manifest, made_with
from tasks.versions.tree import Fault, Verified
from tasks.versions.wanted_version import WantedVersion

Report = Callable[[float, str], None]


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
    """Train from iteration `start` to `recipe.training_iteration`, and leave the state in `directory`.

    Args:
        directory: empty.
        recipe: what to train.
        arrays_directory: what PrepareDataset left.
        total_iterations: see `training.train`.
        start: iterations that `previous` has done.
        previous: the folder of the segment before; None at iteration 0.
        report: called with the fraction of the segment that is done, and a line of text.

    Returns:
        The loss of the last iteration.

    Raises:
        TrainingFailed: see `training.train`.
    """
    from tasks.data import arrays
    from tasks.model import checkpoints, training

    stop = recipe.training_iteration
    images = arrays.map_arrays(arrays_directory).training
    last = 0.0

    def report_loss(done: int, loss: float) -> None:
        nonlocal last
        last = loss
        report((done - start) / (stop - start), f"iteration {done} of {stop}, loss {loss:.4f}")

    state = training.train(
        recipe,
        images.images,
        images.labels,
        total_iterations=total_iterations,
        start=start,
        stop=stop,
        state=None if previous is None else checkpoints.load_state(previous),
        report=report_loss,
    )
    checkpoints.save_state(directory, state)
    return last


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
        scores=find_architecture(wanted.recipe.model).scores,
        weights=checkpoints.load_weights(trained),
        measured_on={"validation": splits.validation, "test": splits.test},
        dataset_checksums=find_dataset(wanted.recipe.dataset).checksums,
        made_with=made_with(),
    )
    return manifest, compare_with_baseline(baseline, manifest, splits.validation)


def verify_tree(base_path: Path, versions: Collection[int], *, report: Report) -> tuple[list[Fault], list[Verified]]:
    """Verify a base path: what is wrong with its entries, and each version (or those of `versions`) in order."""
    from tasks.savedmodel import verification

    return verification.verify_tree(base_path, versions, report=report)


def verify_version(directory: Path) -> Verified:
    """Verify one version: files, both loaders, warm-up, golden answers, signatures."""
    from tasks.savedmodel import verification

    return verification.verify_version(directory)
