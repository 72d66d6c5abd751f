"""Golden answers: a few requests that travel with a version, and what it answered when it was exported.

They lie in `assets.extra/golden/`, so that anyone can find out whether what a server serves is what was exported:

    predict.json, classify.json                      requests that `curl -d @file` can send
    predict.expected.json, classify.expected.json    the answers, as the server's REST interface writes them
    answers.tfrecord                                 the same two as PredictionLogs, with request and response
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tasks.errors import ExportFailed
from tasks.savedmodel.loaded_model import LoadedModel
from tasks.savedmodel.prediction_requests import (
    PredictionLog,
    classify_request,
    predict_request,
    read_logs,
    write_logs,
)
from tasks.savedmodel.replay import answer
from tasks.savedmodel.signatures import CLASSIFY_SIGNATURE, FEATURE, PREDICT_SIGNATURE, as_floats

GOLDEN = Path("assets.extra", "golden")
ANSWERS = GOLDEN / "answers.tfrecord"
IMAGES = 3
TOLERANCE = 1e-4  # of a score; other processors and thread counts differ in the last digits


def write_golden(model: LoadedModel, images: NDArray[np.uint8]) -> None:
    """Ask the loaded model about the first three of images uint8 [n, 784], and keep what it says beside it."""
    floats = as_floats(images[:IMAGES])
    predict, classify = PredictionLog(), PredictionLog()
    predict.predict_log.request.CopyFrom(predict_request(floats))
    classify.classify_log.request.CopyFrom(classify_request(floats))
    predict, classify = answer(model, predict), answer(model, classify)
    write_logs(model.directory / ANSWERS, [predict, classify])

    rows = [_shortest(image) for image in floats]
    files = {
        "predict": {"signature_name": PREDICT_SIGNATURE, "instances": rows},
        "predict.expected": {"predictions": [_shortest(scores) for scores in _scores(predict.predict_log.response)]},
        "classify": {"signature_name": CLASSIFY_SIGNATURE, "examples": [{FEATURE: row} for row in rows]},
        "classify.expected": {
            "results": [
                [[entry.label, float(str(np.float32(entry.score)))] for entry in result.classes]
                for result in classify.classify_log.response.result.classifications
            ]
        },
    }
    for name, content in files.items():
        text = json.dumps(content, separators=(",", ":")) + "\n"
        (model.directory / GOLDEN / f"{name}.json").write_text(text, encoding="utf-8")


def read_golden(version_directory: Path) -> list[Any]:
    """The golden answers of a version as PredictionLogs with request and response; none where it has none.

    Raises:
        ExportFailed: the file is there and cannot be read.
    """
    path = version_directory / ANSWERS
    try:
        return read_logs(path) if path.exists() else []
    except ValueError as error:
        raise ExportFailed(f"{path}: {error}") from error


def replay_golden(model: LoadedModel) -> None:
    """Ask a loaded model again.

    Raises:
        ExportFailed: it gives another answer than when it was exported.
    """
    for log in read_golden(model.directory):
        kind = log.WhichOneof("log_type")
        try:
            difference = score_difference(log, getattr(answer(model, log), kind).response)
        except ValueError as error:
            raise ExportFailed(f"{model.directory}: its golden request ({kind}) fails: {error}") from error
        if not difference <= TOLERANCE:
            raise ExportFailed(
                f"{model.directory}: its golden answers ({kind}) differ by {difference:g}, allowed is {TOLERANCE:g}"
            )


def score_difference(golden: Any, response: Any) -> float:
    """By how much a response differs from that of a golden PredictionLog, in its worst score; infinite in kind.

    A PredictResponse is compared by class, a ClassificationResponse by label.
    """
    if golden.WhichOneof("log_type") == "predict_log":
        expected, found = _scores(golden.predict_log.response), _scores(response)
        if expected.shape != found.shape:
            return math.inf
        return float(np.abs(expected - found).max(initial=0.0))
    wanted, got = (
        [{entry.label: entry.score for entry in row.classes} for row in answered.result.classifications]
        for answered in (golden.classify_log.response, response)
    )
    if [set(row) for row in wanted] != [set(row) for row in got]:
        return math.inf
    differences = [abs(row[label] - other[label]) for row, other in zip(wanted, got, strict=True) for label in row]
    return math.inf if any(map(math.isnan, differences)) else max(differences, default=0.0)


def _scores(response: Any) -> NDArray[np.float32]:
    if "scores" not in response.outputs:
        return np.empty(0, np.float32)
    scores: NDArray[np.float32] = tf.make_ndarray(response.outputs["scores"])
    return scores


def _shortest(values: NDArray[np.float32]) -> list[float]:
    """The numbers with as few digits as give the same float32; each with a point, or REST takes it for an int."""
    return [float(str(value)) for value in values]
