"""The answers that the server gives to a request, on a SavedModel loaded here.

What is refused is what `predict_util.cc` and `classifier.cc` of TensorFlow Serving refuse.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow_serving.apis import classification_pb2, predict_pb2

from tasks.savedmodel.loaded_model import LoadedModel
from tasks.savedmodel.prediction_requests import PredictionLog
from tasks.savedmodel.tensorflow_errors import reason_of

PREDICT, CLASSIFY = tf.saved_model.PREDICT_METHOD_NAME, tf.saved_model.CLASSIFY_METHOD_NAME
METHODS = (PREDICT, CLASSIFY, tf.saved_model.REGRESS_METHOD_NAME)  # Predict takes any


def can_replay(log: Any) -> bool:
    """False for Regress, MultiInference and a Classify whose examples share a context: no version here carries them."""
    kind = log.WhichOneof("log_type")
    if kind == "classify_log":
        return bool(log.classify_log.request.input.WhichOneof("kind") != "example_list_with_context")
    return kind not in {"regress_log", "multi_inference_log"}


def answer(model: LoadedModel, log: Any) -> Any:
    """The PredictionLog with the request of `log` and the model's response; raises ValueError where there is none."""
    answered, kind = PredictionLog(), log.WhichOneof("log_type")
    if kind is None:
        return answered  # the server takes a record that asks for nothing for a success
    if not can_replay(log):
        raise ValueError("not replayed here")
    if kind not in _ANSWERS:
        raise ValueError(f"the server replays no {kind}")
    request, exchange = getattr(log, kind).request, getattr(answered, kind)
    exchange.request.CopyFrom(request)
    try:
        exchange.response.CopyFrom(_ANSWERS[kind](model, request))
    except tf.errors.OpError as error:
        raise ValueError(reason_of(error)) from error
    except (TypeError, KeyError) as error:
        raise ValueError(f"a tensor is not what it claims to be: {error}") from error
    return answered


def _predict(model: LoadedModel, request: Any) -> Any:
    signature = _signature(model, request.model_spec.signature_name, METHODS)
    inputs = {**signature.defaults, **request.inputs}
    if set(inputs) != set(signature.inputs):
        raise ValueError(f"inputs are {sorted(request.inputs)}, the signature has {sorted(signature.inputs)}")
    wanted = list(request.output_filter) or sorted(signature.outputs)
    unknown = set(wanted) - set(signature.outputs)
    if unknown:
        raise ValueError(f"outputs asked for are {sorted(unknown)}, the signature has {sorted(signature.outputs)}")
    feeds = {signature.inputs[name].name: tf.make_ndarray(tensor) for name, tensor in inputs.items()}
    values = model.session.run({name: signature.outputs[name].name for name in wanted}, feeds)
    response = predict_pb2.PredictResponse()
    for name in wanted:
        response.outputs[name].CopyFrom(_as_fields(values[name]))
    return response


def _classify(model: LoadedModel, request: Any) -> Any:
    signature = _signature(model, request.model_spec.signature_name, (CLASSIFY,))
    values = _run_examples(model, signature, request.input.example_list.examples)
    response = classification_pb2.ClassificationResponse()
    for row in range(len(next(iter(values.values())))):
        classifications = response.result.classifications.add()
        labels = values["classes"][row] if "classes" in values else [b""] * len(values["scores"][row])
        scores = values["scores"][row] if "scores" in values else [0.0] * len(labels)
        for label, score in zip(labels, scores, strict=True):
            classifications.classes.add(label=label.decode(), score=float(score))
    return response


_ANSWERS = {"predict_log": _predict, "classify_log": _classify}


def _as_fields(value: NDArray[Any]) -> Any:
    """A TensorProto that holds its numbers in `float_val`, as the server's do: clients read that field."""
    if value.dtype != np.float32:
        return tf.make_tensor_proto(value)
    tensor = tf.make_tensor_proto(0.0, shape=value.shape)
    tensor.float_val[:] = value.ravel()
    return tensor


def _signature(model: LoadedModel, name: str, allowed: tuple[str, ...]) -> Any:
    name = name or tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
    if name not in model.signatures:
        raise ValueError(f"there is no signature {name!r}")
    signature = model.signatures[name]
    if signature.method_name not in allowed:
        raise ValueError(f"signature {name!r} has the method {signature.method_name!r}, not {' or '.join(allowed)}")
    return signature


def _run_examples(model: LoadedModel, signature: Any, sent: Any) -> Mapping[str, NDArray[Any]]:
    """The outputs of a signature that takes `tf.Example`s, each [number of examples, number of classes]."""
    examples = [example.SerializeToString(deterministic=True) for example in sent]
    if not examples:
        raise ValueError("the input is empty")
    if "inputs" not in signature.inputs:
        raise ValueError("the signature has no input 'inputs'")
    outputs = {name: info.name for name, info in signature.outputs.items()}
    values = model.session.run(outputs, {signature.inputs["inputs"].name: examples})
    for name, value in values.items():
        if np.ndim(value) != 2 or len(value) != len(examples):  # noqa: PLR2004 - rows and columns
            raise ValueError(f"output {name!r} has the shape {list(np.shape(value))} for {len(examples)} examples")
    return dict(values)
