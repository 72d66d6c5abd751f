"""A model server's gRPC port: answers that hold no scores."""

from concurrent import futures

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_status_pb2, predict_pb2
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceServicer, add_ModelServiceServicer_to_server
from tensorflow_serving.apis.prediction_service_pb2_grpc import (
    PredictionServiceServicer,
    add_PredictionServiceServicer_to_server,
)

from tasks.errors import RolloutFailed
from tasks.serving.grpc_server import GrpcServer

REQUEST = {"signature_name": "predict_images", "instances": [[0.0, 1.0]]}


class Answering(ModelServiceServicer, PredictionServiceServicer):
    """Gives everybody the same answer."""

    def __init__(self, answer):
        self.answer = answer

    def Predict(self, *_):  # noqa: N802 - gRPC's name
        return self.answer

    def GetModelStatus(self, *_):  # noqa: N802 - gRPC's name
        return self.answer


@pytest.fixture
def answering():
    """Start servers on loopback that give one answer; `answering(answer)` gives one."""
    servers = []

    def start(answer):
        servers.append(grpc.server(futures.ThreadPoolExecutor(1)))
        add_ModelServiceServicer_to_server(Answering(answer), servers[-1])
        add_PredictionServiceServicer_to_server(Answering(answer), servers[-1])
        port = servers[-1].add_insecure_port("127.0.0.1:0")
        servers[-1].start()
        return GrpcServer(f"127.0.0.1:{port}")

    yield start
    for server in servers:
        server.stop(None).wait()


def make_answer(values, dtype=tf.float32):
    return predict_pb2.PredictResponse(outputs={"scores": tf.make_tensor_proto(values, dtype)})


@pytest.mark.parametrize("values", [[[0.25, 0.75]], [[0.5, 0.5], [0.5, 0.5]]])
def test_a_matrix_is_read_row_by_row(answering, values):
    """One row for each image, by the number of the class."""
    rows = answering(make_answer(values)).ask("mnist", 1, "predict", REQUEST)
    assert [{str(number): score for number, score in enumerate(row)} for row in values] == rows


@pytest.mark.parametrize(
    "answer",
    [make_answer([0.5, 0.5]), make_answer([[1, 2]], tf.int32), predict_pb2.PredictResponse()],
    ids=["vector", "integers", "nothing"],
)
def test_a_tensor_without_scores_is_told(answering, answer):
    """Another shape, another type and no tensor at all are told in one line."""
    with pytest.raises(RolloutFailed, match="Predict answers with a tensor that is not a matrix of float scores"):
        answering(answer).ask("mnist", 1, "predict", REQUEST)


def test_a_state_that_nobody_knows_is_told(answering):
    """A status with a number that stands for no state is not a model's status."""
    status = get_model_status_pb2.ModelVersionStatus(version=1)
    status.MergeFromString(b"\x10\x63")  # the state 99
    response = get_model_status_pb2.GetModelStatusResponse(model_version_status=[status])
    with pytest.raises(RolloutFailed, match=r"127\.0\.0\.1:\d+: answers what is no model status"):
        answering(response).statuses("mnist")
