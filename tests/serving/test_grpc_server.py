"""Answers over gRPC, read without TensorFlow's help."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from tasks.errors import RolloutFailed
from tasks.serving.grpc_server import GrpcServer

SCORES = np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]], np.float32)
ROWS = [{"0": 0.25, "1": 0.75}, {"0": 0.5, "1": 0.5}, {"0": 1.0, "1": 0.0}]


def respond(tensor, name="scores"):
    response = predict_pb2.PredictResponse()
    response.outputs[name].CopyFrom(tensor)
    return response


@pytest.fixture
def ask(monkeypatch):
    """What is made of a response that a server gives."""

    def read(response):
        monkeypatch.setattr(GrpcServer, "_call", lambda *_: response)
        request = {"signature_name": "predict_images", "instances": [[0.0]]}
        return GrpcServer("localhost:1").ask("mnist", 1, "predict", request)

    return read


def test_scores_come_as_bytes_or_as_numbers(ask):
    """A server may send either form of a tensor."""
    as_bytes = tf.make_tensor_proto(SCORES)
    as_numbers = tf.make_tensor_proto(SCORES)
    as_numbers.ClearField("tensor_content")
    as_numbers.float_val.extend(SCORES.ravel().tolist())
    assert as_bytes.tensor_content
    assert ROWS == ask(respond(as_bytes)) == ask(respond(as_numbers))


def test_no_images_give_no_rows(ask):
    """An empty tensor has no scores, whatever its shape says."""
    assert [] == ask(respond(tf.make_tensor_proto(SCORES[:0])))
    assert [] == ask(respond(tf.make_tensor_proto(SCORES[:, :0])))


def damaged():
    tensor = tf.make_tensor_proto(SCORES)
    tensor.tensor_content = tensor.tensor_content[:-1]
    return tensor


@pytest.mark.parametrize(
    "response",
    [
        respond(tf.make_tensor_proto(SCORES), name="other"),
        respond(tf.make_tensor_proto(SCORES.ravel())),
        respond(tf.make_tensor_proto(SCORES.astype(np.float64))),
        respond(tf.make_tensor_proto(["a"])),
        respond(damaged()),
    ],
)
def test_what_is_not_a_table_of_scores_is_refused(response, ask):
    """Another output, rank, type or length: told with the server's address."""
    with pytest.raises(RolloutFailed, match="localhost:1: Predict answers with"):
        ask(response)
