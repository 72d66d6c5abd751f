"""The answers that the server gives to a request, on a SavedModel loaded here.

What is refused is what `predict_util.cc`, `classifier.cc` and `regressor.cc` of TensorFlow Serving refuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow_serving.apis import classification_pb2, inference_pb2, input_pb2, predict_pb2, regression_pb2

from tasks.savedmodel.loaded_model import LoadedModel
from tasks.savedmodel.prediction_requests import PredictionLog
from tasks.savedmodel.tensorflow_errors import reason_of

METHODS = {"predict": tf.saved_model.PREDICT_METHOD_NAME, "classify": tf.saved_model.CLASSIFY_METHOD_NAME}
REGRESS = tf.saved_model.REGRESS_METHOD_NAME


def answer(model: LoadedModel, log: Any) -> Any:
    """The PredictionLog with the request of `log` and the model's response to it.

    Raises:
        ValueError: the server would refuse the request, or the model fails on it; the text says why.
    """
    answered, kind = PredictionLog(), log.WhichOneof("log_type")
    if kind is None:
        return answered  # the server takes a record that asks for nothing for a success
    if kind not in _ANSWERS:
        raise ValueError(f"the server replays no {kind}")
    getattr(answered, kind).request.CopyFrom(getattr(log, kind).request)
    try:
        getattr(answered, kind).response.CopyFrom(_ANSWERS[kind](model, getattr(log, kind).request))
    except tf.errors.OpError as error:
        raise ValueError(reason_of(error)) from error
    except (TypeError, KeyError) as error:
        raise ValueError(f"a tensor is not what it claims to be: {error}") from error
    return answered


def _predict(model: LoadedModel, request: Any) -> Any:
    signature = _signature(model, request.model_spec.signature_name)
    if set(request.inputs) != set(signature.inputs):
        raise ValueError(f"inputs are {sorted(request.inputs)}, the signature has {sorted(signature.inputs)}")
    wanted = list(request.output_filter) or sorted(signature.outputs)
    unknown = set(wanted) - set(signature.outputs)
    if unknown:
        raise ValueError(f"outputs asked for are {sorted(unknown)}, the signature has {sorted(signature.outputs)}")
    feeds = {signature.inputs[name].name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
    values = model.session.run({name: signature.outputs[name].name for name in wanted}, feeds)
    response = predict_pb2.PredictResponse()
    for name in wanted:
        response.outputs[name].CopyFrom(_as_fields(values[name]))
    return response


def _classify(model: LoadedModel, request: Any) -> Any:
    signature = _signature(model, request.model_spec.signature_name, METHODS["classify"])
    values = _run_examples(model, signature, request.input, rank=2)
    response = classification_pb2.ClassificationResponse()
    for row in range(len(next(iter(values.values())))):
        classifications = response.result.classifications.add()
        labels = values["classes"][row] if "classes" in values else [b""] * len(values["scores"][row])
        scores = values["scores"][row] if "scores" in values else [0.0] * len(labels)
        for label, score in zip(labels, scores, strict=True):
            classifications.classes.add(label=label.decode(), score=float(score))
    return response


def _regress(model: LoadedModel, request: Any) -> Any:
    signature = _signature(model, request.model_spec.signature_name, REGRESS)
    values = _run_examples(model, signature, request.input, rank=1)
    response = regression_pb2.RegressionResponse()
    for value in values["outputs"]:
        response.result.regressions.add(value=float(value))
    return response


def _multi_inference(model: LoadedModel, request: Any) -> Any:
    response = inference_pb2.MultiInferenceResponse()
    for task in request.tasks:
        result = response.results.add()
        if task.method_name == METHODS["classify"]:
            part = classification_pb2.ClassificationRequest(model_spec=task.model_spec, input=request.input)
            result.classification_result.CopyFrom(_classify(model, part).result)
        elif task.method_name == REGRESS:
            part = regression_pb2.RegressionRequest(model_spec=task.model_spec, input=request.input)
            result.regression_result.CopyFrom(_regress(model, part).result)
        else:
            raise ValueError(f"the server infers nothing by the method {task.method_name!r}")
    return response


_ANSWERS = {
    "predict_log": _predict,
    "classify_log": _classify,
    "regress_log": _regress,
    "multi_inference_log": _multi_inference,
}


def _as_fields(value: NDArray[Any]) -> Any:
    """A TensorProto that holds its numbers in `float_val`, as the server's do: clients read that field."""
    if value.dtype != np.float32:
        return tf.make_tensor_proto(value)
    tensor = tf.make_tensor_proto(0.0, shape=value.shape)
    tensor.float_val[:] = value.ravel()
    return tensor


def _signature(model: LoadedModel, name: str, method: str | None = None) -> Any:
    name = name or tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
    if name not in model.signatures:
        raise ValueError(f"there is no signature {name!r}")
    signature = model.signatures[name]
    allowed = (method,) if method else (*METHODS.values(), REGRESS)
    if signature.method_name not in allowed:
        raise ValueError(f"signature {name!r} has the method {signature.method_name!r}, not {' or '.join(allowed)}")
    return signature


def _run_examples(model: LoadedModel, signature: Any, sent: Any, *, rank: int) -> Mapping[str, NDArray[Any]]:
    """The outputs of a signature that takes `tf.Example`s, each of that rank and as long as there are examples."""
    examples = [example.SerializeToString(deterministic=True) for example in _examples(sent)]
    if not examples:
        raise ValueError("the input is empty")
    if "inputs" not in signature.inputs:
        raise ValueError("the signature has no input 'inputs'")
    outputs = {name: info.name for name, info in signature.outputs.items()}
    values = model.session.run(outputs, {signature.inputs["inputs"].name: examples})
    for name, value in values.items():
        shaped = np.ndim(value) == rank or (rank == 1 and np.shape(value)[1:] == (1,))
        if not shaped or len(value) != len(examples):
            raise ValueError(f"output {name!r} has the shape {list(np.shape(value))} for {len(examples)} examples")
    return dict(values)


def _examples(sent: Any) -> list[Any]:
    if sent.WhichOneof("kind") != "example_list_with_context":
        return list(sent.example_list.examples)
    examples = []
    for own in sent.example_list_with_context.examples:
        example = input_pb2.ExampleList().examples.add()
        example.CopyFrom(sent.example_list_with_context.context)
        example.MergeFrom(own)
        examples.append(example)
    return examples
