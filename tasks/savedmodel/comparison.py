"""A version that is not yet published, compared with the one in service: signatures, and answers on the same data."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.errors import ExportFailed
from tasks.model.images import LabelledImages
from tasks.savedmodel.cpp_loader import read_meta_graph
from tasks.savedmodel.loaded_model import load_saved_model
from tasks.savedmodel.signatures import PREDICT_SIGNATURE, describe_signatures
from tasks.versions.compatibility import Baseline, Paired, breaking_changes, check_accuracy, check_signatures
from tasks.versions.manifest import Manifest


def compare_with_baseline(
    baseline: Baseline | None, manifest: Manifest, directory: Path, validation: LabelledImages
) -> dict[str, Any]:
    """Make sure that a version may take the place of the one in service, and return what is to be recorded of it.

    Both are asked here, about the same images: the baseline's own manifest may be of another dataset, or missing, and
    no manifest holds what a version answered to each image.

    Raises:
        ExportFailed: the version must not be published, or the baseline cannot be read.
    """
    if baseline is None:
        return {}
    before = describe_signatures(read_meta_graph(baseline.directory).signature_def)
    changes = breaking_changes(before, manifest.signatures)
    check_signatures(manifest.model_version, baseline, changes)
    record: dict[str, Any] = {"baseline": baseline.version, "signature_changes": changes}
    if baseline.max_regression is None and baseline.max_regression_p is None:
        return record
    here, there = is_right(directory, validation), is_right(baseline.directory, validation)
    paired = Paired(len(here), *(int(hits.sum()) for hits in (here, there, here & ~there, there & ~here)))
    check_accuracy(manifest.model_version, baseline, paired)
    return {
        **record,
        "baseline_accuracy": paired.baseline_accuracy,
        "accuracy": paired.accuracy,
        "only_right": paired.only_right,
        "only_baseline_right": paired.only_baseline_right,
        "p": paired.p,
    }


def is_right(directory: Path, data: LabelledImages) -> NDArray[np.bool_]:
    """Whether a SavedModel gets each image right: bool [n]; raises ExportFailed for a score that is no number."""
    with load_saved_model(directory, [PREDICT_SIGNATURE]) as model:
        scores = model.predict(data.images)
    if not np.isfinite(scores).all():
        raise ExportFailed(f"{directory}: a score is NaN or infinite")
    return np.equal(scores.argmax(axis=1), data.labels)
