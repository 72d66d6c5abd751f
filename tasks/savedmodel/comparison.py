"""A version that is not yet published, compared with the one in service: signatures, and accuracy on the same data."""

from typing import Any

import tensorflow as tf

from tasks.errors import ExportFailed
from tasks.model.images import LabelledImages
from tasks.savedmodel.cpp_loader import read_meta_graph
from tasks.savedmodel.export import measure
from tasks.savedmodel.loaded_model import load_saved_model
from tasks.savedmodel.signatures import PREDICT_SIGNATURE, describe_signatures
from tasks.savedmodel.tensorflow_errors import reason_of
from tasks.versions.compatibility import STABLE, Baseline, breaking_changes, check_accuracy, check_signatures
from tasks.versions.manifest import Manifest


def compare_with_baseline(baseline: Baseline | None, manifest: Manifest, validation: LabelledImages) -> dict[str, Any]:
    """Make sure that a version may take the place of the one in service, and return what is to be recorded of it.

    The baseline is measured here, on the same images: its own manifest may be of another dataset, or missing.

    Raises:
        ExportFailed: the version must not be published, or the baseline cannot be read.
    """
    if baseline is None:
        return {}
    before = describe_signatures(read_meta_graph(baseline.directory).signature_def)
    changes = breaking_changes(before, manifest.signatures)
    check_signatures(manifest.model_version, baseline, changes)
    record: dict[str, Any] = {"baseline": baseline.version, "signature_changes": changes}
    if baseline.max_regression is None:
        return record
    baseline_accuracy = _measure(baseline, validation)
    check_accuracy(manifest.model_version, manifest.validation_accuracy, baseline, baseline_accuracy)
    return {**record, "baseline_accuracy": baseline_accuracy, "accuracy": manifest.validation_accuracy}


def _measure(baseline: Baseline, validation: LabelledImages) -> float:
    try:
        with load_saved_model(baseline.directory, [PREDICT_SIGNATURE]) as model:
            return measure(model, validation).accuracy
    except (ExportFailed, KeyError, TypeError, ValueError, tf.errors.OpError) as error:  # it may be anybody's
        reason = str(error) if isinstance(error, ExportFailed) else f"{type(error).__name__}: {reason_of(error)}"
        raise ExportFailed(
            f"max_regression: version {baseline.version} ({STABLE}) cannot be measured through {PREDICT_SIGNATURE}, "
            f"images -> scores ({reason}); leave max_regression out"
        ) from error
