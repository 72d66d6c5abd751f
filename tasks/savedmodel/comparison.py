"""A version that is not yet published, compared with the one in service: signatures, and accuracy on the same data."""

from typing import Any

from tasks.model.images import LabelledImages
from tasks.savedmodel.cpp_loader import read_meta_graph
from tasks.savedmodel.export import measure
from tasks.savedmodel.loaded_model import load_saved_model
from tasks.savedmodel.signatures import PREDICT_SIGNATURE, describe_signatures
from tasks.versions.compatibility import Baseline, breaking_changes, check_accuracy, check_signatures
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
    with load_saved_model(baseline.directory, [PREDICT_SIGNATURE]) as model:
        baseline_accuracy = measure(model, validation).accuracy
    check_accuracy(manifest.model_version, manifest.validation_accuracy, baseline, baseline_accuracy)
    return {**record, "baseline_accuracy": baseline_accuracy, "accuracy": manifest.validation_accuracy}
