"""What is exported by the real command line is served: over gRPC on loopback, and by TensorFlow Serving where it is."""

import json
import shutil
import subprocess
import time
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_service_pb2_grpc

from tasks.model.checkpoints import load_weights
from tasks.savedmodel.golden import read_answers, response_rows
from tasks.savedmodel.prediction_requests import classify_request, predict_request
from tasks.versions.golden import GOLDEN, TOLERANCE, score_difference
from tests import small
from tests.conftest import CommandLine, free_port
from tests.model_server import serve
from tests.savedmodel.versions import expected_scores

CONFIG = """
[recipe]
dataset = small
training_iteration = 50
[recipe.2]
training_iteration = 100
[recipe.3]
model = cnn
training_iteration = 20
"""
VERSIONS = {1: ("softmax", 50), 2: ("softmax", 100), 3: ("cnn", 20)}


@pytest.fixture(scope="module")
def exported(tmp_path_factory, mirror):
    """The versions above, made by the command line; not to be changed."""
    run = CommandLine(tmp_path_factory.mktemp("exported"), mirror)
    run.configure(CONFIG)
    run("ExportAllVersions", "--versions", "1-3", check=0)
    return run


def _trained_weights(run, iterations):
    """The weights of the only training of that many iterations, from its checkpoint."""
    (directory,) = (run.directory / "work" / "training").glob(f"*/{iterations}")
    return load_weights(directory)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_answers_the_tutorials_protocol(exported, version):
    """Predict on predict_images and Classify on serving_default give the scores of the trained weights."""
    model, iterations = VERSIONS[version]
    images = small.make_images(30, seed=9)[0].reshape(-1, 784).astype(np.float32) / np.float32(255)
    expected = expected_scores(model, _trained_weights(exported, iterations), images)
    predict, classify = predict_request(images), classify_request(images)
    for request in (predict, classify):
        request.model_spec.name = "mnist"
        request.model_spec.version.value = version
    with serve(exported.base) as stub:
        predicted, classified = stub.Predict(predict, timeout=20), stub.Classify(classify, timeout=20)
    np.testing.assert_allclose(tf.make_ndarray(predicted.outputs["scores"]), expected, atol=1e-6)
    for row, scores in zip(classified.result.classifications, expected, strict=True):
        assert [entry.score for entry in row.classes] == sorted((entry.score for entry in row.classes), reverse=True)
        np.testing.assert_allclose([scores[int(entry.label)] for entry in row.classes],
                                   [entry.score for entry in row.classes], atol=1e-6)  # fmt: skip
    assert predicted.model_spec.version.value == version


@pytest.mark.model_server
def test_a_real_server_gives_the_golden_answers(exported, tmp_path):
    """tensorflow_model_server loads every version and gives the golden answers through REST and gRPC."""
    binary = shutil.which("tensorflow_model_server")
    if not binary:
        pytest.skip("tensorflow_model_server is not on the PATH; it is in no package index")
    rest, port = free_port(), free_port()
    config = tmp_path / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "mnist" base_path: "{exported.base}" model_platform: "tensorflow" '
        "model_version_policy { all {} } } }"
    )
    command = [binary, f"--port={port}", f"--rest_api_port={rest}", f"--model_config_file={config}"]
    with (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait_until_available(f"http://127.0.0.1:{rest}/v1/models/mnist", set(map(str, VERSIONS)))
        for version in VERSIONS:
            address = f"http://127.0.0.1:{rest}/v1/models/mnist/versions/{version}"
            _ask_by_rest(address, exported.base / str(version) / GOLDEN)
            _ask_by_grpc(f"127.0.0.1:{port}", version, exported.base / str(version))
    finally:
        server.kill()
        server.wait()


def _wait_until_available(address, versions):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=5) as response:
                states = {entry["version"]: entry["state"] for entry in json.load(response)["model_version_status"]}
        except OSError:
            states = {}
        if versions <= {version for version, state in states.items() if state == "AVAILABLE"}:
            return
        time.sleep(0.2)
    raise AssertionError(f"versions {versions} are not available: {states}")


def _ask_by_rest(address, golden):
    for method, key in (("predict", "predictions"), ("classify", "results")):
        request = urllib.request.Request(f"{address}:{method}", (golden / f"{method}.json").read_bytes())
        with urllib.request.urlopen(request, timeout=20) as response:
            found = json.load(response)[key]
        expected = json.loads((golden / f"{method}.expected.json").read_text())[key]
        if method == "classify":
            found, expected = ([[score for _, score in row] for row in rows] for rows in (found, expected))
        np.testing.assert_allclose(found, expected, atol=TOLERANCE)


def _ask_by_grpc(address, version, directory):
    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        predict, classify = read_answers(directory)
        for log, kind, ask in ((predict, "predict_log", stub.Predict), (classify, "classify_log", stub.Classify)):
            request, expected = getattr(log, kind).request, getattr(log, kind).response
            request.model_spec.name = "mnist"
            request.model_spec.version.value = version
            found = ask(request, timeout=20)
            assert score_difference(response_rows(expected), response_rows(found)) <= TOLERANCE
