"""Golden answers as they are written, and as a loaded model gives them again.

Their form, and how answers are compared, is in `tasks.versions.golden`; what is read here are the protobufs.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tasks.errors import ExportFailed
from tasks.savedmodel.loaded_model import LoadedModel
from tasks.savedmodel.prediction_requests import PredictionLog, classify_request, predict_request, read_logs, write_logs
from tasks.savedmodel.replay import answer
from tasks.savedmodel.signatures import CLASSIFY_SIGNATURE, FEATURE, PREDICT_SIGNATURE, as_floats
from tasks.versions.golden import ANSWERS, GOLDEN, TOLERANCE, Rows, rows_of, score_difference

IMAGES = 3


def write_golden(model: LoadedModel, images: NDArray[np.uint8]) -> None:
    """Ask the loaded model about the first three of images uint8 [n, 784], and keep what it says beside it."""
    floats = as_floats(images[:IMAGES])
    predict = answer(model, PredictionLog(predict_log={"request": predict_request(floats)}))
    classify = answer(model, PredictionLog(classify_log={"request": classify_request(floats)}))
    write_logs(model.directory / ANSWERS, [predict, classify])

    rows = [[_shortest(value) for value in image] for image in floats]
    files = {
        "predict": {"signature_name": PREDICT_SIGNATURE, "instances": rows},
        "predict.expected": _as_rest(predict.predict_log.response),
        "classify": {"signature_name": CLASSIFY_SIGNATURE, "examples": [{FEATURE: row} for row in rows]},
        "classify.expected": _as_rest(classify.classify_log.response),
    }
    for name, content in files.items():
        text = json.dumps(content, separators=(",", ":")) + "\n"
        (model.directory / GOLDEN / f"{name}.json").write_text(text, encoding="utf-8")


def read_answers(version_directory: Path) -> list[Any]:
    """The golden answers of a version as PredictionLogs with request and response; empty where it carries none."""
    return read_logs(version_directory / ANSWERS)


def replay_golden(model: LoadedModel) -> None:
    """Ask a loaded model again; raises ExportFailed where it answers otherwise than when it was exported."""
    for log in read_answers(model.directory):
        kind = log.WhichOneof("log_type")
        try:
            expected, found = (getattr(said, kind).response for said in (log, answer(model, log)))
            difference = score_difference(response_rows(expected), response_rows(found))
        except ValueError as error:
            raise ExportFailed(f"{model.directory}: its golden request ({kind}) fails: {error}") from error
        if not difference <= TOLERANCE:
            raise ExportFailed(
                f"{model.directory}: its golden answers ({kind}) differ by {difference:g}, allowed is {TOLERANCE:g}"
            )


def response_rows(response: Any) -> Rows:
    """The scores in a PredictResponse or ClassificationResponse, by class; raises ValueError where there are none."""
    return rows_of(_as_rest(response))


def _as_rest(response: Any) -> dict[str, Any]:
    """A PredictResponse or ClassificationResponse as the server's REST interface writes it."""
    if hasattr(response, "result"):
        rows = response.result.classifications
        return {"results": [[[entry.label, _shortest(entry.score)] for entry in row.classes] for row in rows]}
    if "scores" not in response.outputs:
        raise ValueError("it has no scores")
    try:
        scores = tf.make_ndarray(response.outputs["scores"])
    except TypeError as error:
        raise ValueError(f"its scores are not a tensor: {error}") from error
    if np.ndim(scores) != 2:  # noqa: PLR2004 - images and classes
        raise ValueError(f"its scores have the shape {list(np.shape(scores))}")
    return {"predictions": [[_shortest(score) for score in row] for row in scores]}


@lru_cache(maxsize=1024)  # most are pixels, of which there are 256
def _shortest(value: float) -> float:
    """The number with as few digits as give the same float32; with a point, or REST takes it for an int."""
    return float(str(np.float32(value)))
