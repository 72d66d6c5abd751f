"""The server's answers, over gRPC on loopback and on a loaded model."""

import re

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, predict_pb2, prediction_log_pb2

from tasks.savedmodel.cpp_loader import check_loads
from tasks.savedmodel.loaded_model import load_saved_model
from tasks.savedmodel.prediction_requests import classify_request, predict_request
from tasks.savedmodel.replay import answer, can_replay
from tests.model_server import serve
from tests.savedmodel.versions import MODELS, expected_scores


@pytest.mark.parametrize("version", MODELS)
def test_predict_gives_the_scores_of_the_weights(exported, weights, images, version):
    """The request that the tutorial's client sends gives what the network gives with the trained weights."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "mnist"
    request.model_spec.version.value = version
    request.model_spec.signature_name = "predict_images"
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(images[0], shape=[1, images[0].size]))
    with serve(exported) as stub:
        scores = np.array(stub.Predict(request, timeout=10).outputs["scores"].float_val)
    expected = expected_scores(MODELS[version], weights[MODELS[version]], images[:1])
    np.testing.assert_allclose(scores, expected[0], atol=1e-6)


@pytest.mark.parametrize("version", MODELS)
def test_classify_gives_the_scores_of_the_weights_best_first(exported, weights, images, version):
    """Classify on serving_default orders the ten labels by the scores of the network."""
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "mnist"
    request.model_spec.version.value = version
    for image in images:
        request.input.example_list.examples.add().features.feature["x"].float_list.value.extend(image)
    with serve(exported) as stub:
        rows = stub.Classify(request, timeout=10).result.classifications
    expected = expected_scores(MODELS[version], weights[MODELS[version]], images)
    assert len(rows) == len(images)
    for row, scores in zip(rows, expected, strict=True):
        found = [entry.score for entry in row.classes]
        assert found == sorted(found, reverse=True)
        np.testing.assert_allclose([scores[int(entry.label)] for entry in row.classes], found, atol=1e-6)


def test_a_request_that_the_server_refuses_is_refused(exported, images):
    """What the server checks before it runs a graph; the replay checks it too, below."""
    request = predict_request(images)
    request.model_spec.name = "mnist"
    request.inputs["more"].CopyFrom(tf.make_tensor_proto(images))
    with serve(exported) as stub, pytest.raises(grpc.RpcError, match="input size does not match signature: 2!=1"):
        stub.Predict(request, timeout=10)


def test_an_input_with_a_default_may_be_left_out(exported, images):
    """As in the server, where a signature says what an input is that a request lacks; others are refused still."""
    with load_saved_model(exported / "1") as model:
        model.signatures["predict_images"].defaults["images"].CopyFrom(tf.make_tensor_proto(images))
        sent, empty = (_log("predict_log", request=predict_request(images)) for _ in range(2))
        empty.predict_log.request.inputs.clear()
        assert answer(model, sent).predict_log.response == answer(model, empty).predict_log.response
        empty.predict_log.request.inputs["more"].CopyFrom(tf.make_tensor_proto(images))
        with pytest.raises(ValueError, match=r"inputs are .'more'., the signature has .'images'."):
            answer(model, empty)


def _log(kind, **fields):
    log = prediction_log_pb2.PredictionLog()
    getattr(log, kind).SetInParent()
    for name, message in fields.items():
        getattr(getattr(log, kind), name).CopyFrom(message)
    return log


def _broken(message, change):
    change(message)
    return message


@pytest.mark.parametrize(
    ("kind", "change", "reason"),
    [
        ("predict_log", lambda request: request.inputs.clear(), "inputs are []"),
        ("predict_log", lambda request: request.output_filter.append("logits"), "outputs asked for are ['logits']"),
        (
            "predict_log",
            lambda request: setattr(request.model_spec, "signature_name", "gone"),
            "there is no signature 'gone'",
        ),
        (
            "predict_log",
            lambda request: request.inputs["images"].tensor_shape.dim[1].__setattr__("size", 3),
            "cannot reshape",
        ),
        ("predict_log", lambda request: setattr(request.inputs["images"], "dtype", 20), "is not what it claims to be"),
        ("classify_log", lambda request: request.input.Clear(), "the input is empty"),
        (
            "classify_log",
            lambda request: request.input.example_list.examples[0].features.feature.clear(),
            "Feature: x (data type: float) is required",
        ),
        (
            "classify_log",
            lambda request: setattr(request.model_spec, "signature_name", "predict_images"),
            "not tensorflow/serving/classify",
        ),
    ],
)
def test_answer_says_why_a_request_fails(exported, images, kind, change, reason):
    """A request that does not fit the signature is a ValueError that says what does not fit."""
    request = predict_request(images) if kind == "predict_log" else classify_request(images)
    with load_saved_model(exported / "1") as model, pytest.raises(ValueError, match=re.escape(reason)):
        answer(model, _log(kind, request=_broken(request, change)))


def _shared_context(images):
    log = _log("classify_log")
    context = log.classify_log.request.input.example_list_with_context
    context.context.features.feature["x"].float_list.value.extend(images[0])
    context.examples.add()
    return log


@pytest.mark.parametrize("kind", ["regress_log", "multi_inference_log", "shared context"])
def test_what_no_version_carries_is_not_replayed(exported, images, kind):
    """Regress, MultiInference and a context that examples share are told apart from what the server refuses."""
    log = _shared_context(images) if kind == "shared context" else _log(kind)
    assert not can_replay(log)
    with load_saved_model(exported / "1") as model, pytest.raises(ValueError, match=r"^not replayed here$"):
        answer(model, log)


@pytest.mark.parametrize("kind", ["predict_log", "classify_log", "session_run_log"])
def test_whatever_else_is_replayed_or_refused(kind):
    """A Predict and a plain Classify are replayed, and what the server refuses is not passed over."""
    assert can_replay(_log(kind))
    assert can_replay(prediction_log_pb2.PredictionLog())


def test_a_record_of_a_session_run_is_refused_and_an_empty_one_is_not(exported):
    """The server replays no SessionRun, and takes a record without a request for a success."""
    with load_saved_model(exported / "1") as model:
        with pytest.raises(ValueError, match="the server replays no session_run_log"):
            answer(model, _log("session_run_log"))
        assert answer(model, prediction_log_pb2.PredictionLog()) == prediction_log_pb2.PredictionLog()


@pytest.fixture
def foreign(tmp_path):
    """A SavedModel of somebody else, without variables: a regression, and two classifications that cannot answer."""
    tf1, api = tf.compat.v1, tf.saved_model
    with tf.Graph().as_default(), tf1.Session() as session:
        examples = tf1.placeholder(tf.string, [None])
        parsed = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([784], tf.float32)})
        info, define = tf1.saved_model.build_tensor_info, tf1.saved_model.build_signature_def
        taken, pixels, mean = info(examples), info(parsed["x"]), info(tf.reduce_mean(parsed["x"], 1))
        definitions = {
            "mean": define({"inputs": taken}, {"outputs": mean}, api.REGRESS_METHOD_NAME),
            "flat": define({"inputs": taken}, {"scores": mean}, api.CLASSIFY_METHOD_NAME),
            "renamed": define({"examples": taken}, {"scores": pixels}, api.CLASSIFY_METHOD_NAME),
        }
        builder = tf1.saved_model.builder.SavedModelBuilder(str(tmp_path / "1"))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=definitions)
        builder.save()
    return tmp_path / "1"


def test_predict_asks_a_signature_of_any_method(foreign, images):
    """As the server does, Predict runs a regression too, and gives its output as a tensor."""
    check_loads(foreign)  # without variables no index is needed
    log, examples = _log("predict_log"), classify_request(images).input.example_list.examples
    request = log.predict_log.request
    request.model_spec.signature_name = "mean"
    request.inputs["inputs"].CopyFrom(tf.make_tensor_proto([example.SerializeToString() for example in examples]))
    with load_saved_model(foreign, required=()) as model:
        found = tf.make_ndarray(answer(model, log).predict_log.response.outputs["outputs"])
    np.testing.assert_allclose(found, images.mean(axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        ("flat", "output 'scores' has the shape [20] for 20 examples"),
        ("renamed", "the signature has no input 'inputs'"),
    ],
)
def test_a_signature_that_cannot_answer_says_why(foreign, images, signature, reason):
    """An output that is not one row an example, and an input of another name, are refused as the server does."""
    log = _log("classify_log", request=classify_request(images))
    log.classify_log.request.model_spec.signature_name = signature
    with load_saved_model(foreign, required=()) as model, pytest.raises(ValueError, match=re.escape(reason)):
        answer(model, log)
