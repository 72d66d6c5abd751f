"""A version that is not yet published, compared with the one in service: signatures, and answers on the same data."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tasks.errors import ExportFailed
from tasks.model.evaluation import evaluate
from tasks.model.images import LabelledImages
from tasks.savedmodel.cpp_loader import read_meta_graph
from tasks.savedmodel.loaded_model import load_saved_model
from tasks.savedmodel.signatures import PREDICT_SIGNATURE, describe_signatures
from tasks.savedmodel.tensorflow_errors import reason_of
from tasks.versions.compatibility import STABLE, Baseline, Paired, breaking_changes, check_accuracy, check_signatures
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
    there, here = _is_right_in(baseline, validation), is_right(directory, validation)
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
    """Whether a SavedModel gets each image right: bool [n]; raises ExportFailed where it is one for other images."""
    with load_saved_model(directory, [PREDICT_SIGNATURE]) as model:
        try:
            scores = model.predict(data.images)
            evaluate(scores, data.labels)  # refuses what is no number, and labels without a score
        except (ValueError, tf.errors.OpError) as error:
            raise ExportFailed(f"{directory}: cannot be measured on these images: {reason_of(error)}") from error
    return np.equal(scores.argmax(axis=1), data.labels)


def _is_right_in(baseline: Baseline, validation: LabelledImages) -> NDArray[np.bool_]:
    try:
        return is_right(baseline.directory, validation)
    except (ExportFailed, KeyError, TypeError, ValueError, tf.errors.OpError) as error:  # it may be anybody's
        reason = str(error) if isinstance(error, ExportFailed) else f"{type(error).__name__}: {reason_of(error)}"
        raise ExportFailed(
            f"max_regression: version {baseline.version} ({STABLE}) cannot be measured through {PREDICT_SIGNATURE}, "
            f"images -> scores ({reason}); leave max_regression out"
        ) from error
