"""Requests as the tutorial's clients send them, and TFRecord files of `PredictionLog`s: a request, perhaps answered."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tensorflow_serving.apis import classification_pb2, predict_pb2, prediction_log_pb2

from tasks.errors import ExportFailed
from tasks.savedmodel.signatures import CLASSIFY_SIGNATURE, PREDICT_SIGNATURE, as_example
from tasks.savedmodel.tensorflow_errors import reason_of, writing

PredictionLog = prediction_log_pb2.PredictionLog


def predict_request(images: NDArray[np.float32], signature: str = PREDICT_SIGNATURE) -> Any:
    """A PredictRequest for images float32 [n, 784] in [0, 1]; the model's name is left to whoever sends it."""
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = signature
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(images))
    return request


def classify_request(images: NDArray[np.float32]) -> Any:
    """A ClassificationRequest for the same images, each a `tf.Example` with the feature `x`."""
    request = classification_pb2.ClassificationRequest()
    request.model_spec.signature_name = CLASSIFY_SIGNATURE
    request.input.example_list.examples.extend(tf.train.Example.FromString(as_example(image)) for image in images)
    return request


def write_logs(path: Path, logs: Iterable[Any]) -> None:
    """Write a TFRecord file of PredictionLogs; the same logs give the same bytes. Raises as `writing`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path), tf.io.TFRecordWriter(str(path)) as writer:
        for log in logs:
            writer.write(log.SerializeToString(deterministic=True))


def read_logs(path: Path) -> list[Any]:
    """The PredictionLogs in a TFRecord file, empty if there is no such file; raises ExportFailed on a damaged one."""
    logs: list[Any] = []
    if not path.exists():
        return logs
    try:
        for record in tf.compat.v1.io.tf_record_iterator(str(path)):
            logs += [PredictionLog.FromString(record)]  # one by one: the error below counts them
    except tf.errors.OpError as error:
        raise ExportFailed(f"{path}: no TFRecord file: {reason_of(error)}") from error
    except DecodeError as error:
        raise ExportFailed(f"{path}: record {len(logs) + 1} is no PredictionLog ({error})") from error
    if not logs and path.stat().st_size:  # TensorFlow takes what is shorter than a record's header for the end
        raise ExportFailed(f"{path}: no TFRecord file: too short for a record")
    return logs
