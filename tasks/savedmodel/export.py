"""One version, from weights to a folder that is ready to be published: written, loaded again, measured, judged."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tasks.errors import ExportFailed
from tasks.model.architectures import Architecture
from tasks.model.evaluation import Evaluation, evaluate
from tasks.model.images import Form, LabelledImages
from tasks.savedmodel.cpp_loader import check_loads
from tasks.savedmodel.golden import write_golden
from tasks.savedmodel.loaded_model import LoadedModel, check_agreement, load_saved_model
from tasks.savedmodel.prediction_requests import PredictionLog, predict_request
from tasks.savedmodel.replay import answer
from tasks.savedmodel.signatures import CLASSIFY_SIGNATURE, PREDICT_SIGNATURE, as_floats, describe_signatures
from tasks.savedmodel.tensorflow_errors import reason_of
from tasks.savedmodel.warmup import replay_warmup, write_warmup
from tasks.savedmodel.writer import write_saved_model
from tasks.storage import checksums
from tasks.versions.manifest import Manifest, write_manifest
from tasks.versions.wanted_version import WantedVersion

AGREEMENT_IMAGES = 100


def export_version(
    directory: Path,
    wanted: WantedVersion,
    *,
    architecture: Architecture,
    form: Form,
    weights: Mapping[str, NDArray[np.float32]],
    measured_on: Mapping[str, LabelledImages],
    dataset_checksums: Mapping[str, str],
    made_with: Mapping[str, str],
) -> Manifest:
    """Fill `directory` with the version; measure what a server will load, not what was trained.

    Args:
        directory: empty, not yet visible to a server.
        wanted: version, recipe and gate.
        architecture: see `write_saved_model`.
        form: see `write_saved_model`.
        weights: see `write_saved_model`.
        measured_on: split -> its images and their labels; `validation` must be among them.
        dataset_checksums: recorded in the manifest.
        made_with: recorded in the manifest.

    Raises:
        ExportFailed: the SavedModel does not load, its signatures disagree, a score is no number, a signature of its
            own or its warm-up fails, or its validation accuracy is below `wanted.recipe.min_accuracy`.
    """
    write_saved_model(directory, architecture, form, weights)
    check_loads(directory)
    images = measured_on["validation"].images
    with load_saved_model(directory) as model:
        metrics = {split: measure(model, data) for split, data in measured_on.items()}
        check_agreement(model, images[:AGREEMENT_IMAGES], form.class_names)
        own_signatures = check_own_signatures(model, images)
        write_warmup(directory, images, wanted.recipe.warmup_records, own_signatures)
        replay_warmup(model)
        write_golden(model, images)
        signatures = describe_signatures(model.signatures)
    accuracy = metrics["validation"].accuracy
    if accuracy < wanted.recipe.min_accuracy:
        raise ExportFailed(
            f"version {wanted.version} is not published: its validation accuracy of {accuracy:.4f} is below "
            f"the min_accuracy of {wanted.recipe.min_accuracy:.4f}"
        )
    manifest = Manifest(
        model_version=wanted.version,
        recipe=wanted.recipe.shaping(),
        dataset_checksums=dataset_checksums,
        metrics={split: asdict(evaluation) for split, evaluation in metrics.items()},
        signatures=signatures,
        files=checksums.list_files(directory),
        made_with=made_with,
    )
    write_manifest(directory, manifest)
    return manifest


def measure(model: LoadedModel, data: LabelledImages) -> Evaluation:
    """Measure a loaded model through `predict_images`.

    Raises:
        ExportFailed: a score is NaN or infinite, or the model is one for images or classes of another dataset.
    """
    try:
        return evaluate(model.predict(data.images), data.labels)
    except (ValueError, tf.errors.OpError) as error:
        raise ExportFailed(f"{model.directory}: cannot be measured on these images: {reason_of(error)}") from error


def check_own_signatures(model: LoadedModel, images: NDArray[np.uint8]) -> list[str]:
    """The signatures beside the two of every model, each asked about two images; raises ExportFailed if one fails."""
    names = sorted(model.signatures.keys() - {PREDICT_SIGNATURE, CLASSIFY_SIGNATURE})
    floats = as_floats(images[:2])
    for name in names:
        try:
            log = answer(model, PredictionLog(predict_log={"request": predict_request(floats, name)}))
        except ValueError as error:
            raise ExportFailed(f"{model.directory}: signature {name} fails: {error}") from error
        for output, tensor in log.predict_log.response.outputs.items():
            shape = [dim.size for dim in tensor.tensor_shape.dim]
            if shape[:1] != [len(floats)]:
                raise ExportFailed(
                    f"{model.directory}: signature {name}: output {output} has the shape {shape} for two images; "
                    "the first of these numbers has to be that of the images"
                )
    return names
