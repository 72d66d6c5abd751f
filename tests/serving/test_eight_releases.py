"""Eight releases on two servers, with what goes wrong in between: who is answered by which version, step by step.

The table of docs/releasing.md is what this test finds, row for row.
"""

import shutil
import socket

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tests.conftest import ROOT, last_line
from tests.docs.pages import table
from tests.model_server import ModelServer
from tests.serving.conftest import wait_until, write_config

pytestmark = pytest.mark.long

PAGE = ROOT / "docs" / "releasing.md"
HEADER = "| | what is done | loaded by the policy | no label | `stable` | `canary` | by number |"
FULL = "Insufficient resources to load servable"


def ask(server, **choice):
    """The version that answers, or the name of the error."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "mnist", "predict_images"
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(np.zeros((1, 784), np.float32)))
    for field, value in choice.items():
        if field == "version":
            request.model_spec.version.value = value
        else:
            request.model_spec.version_label = value
    with grpc.insecure_channel(server.address) as channel:
        try:
            response = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=20)
        except grpc.RpcError as error:
            return error.code().name
    return str(response.model_spec.version.value)


class Story:
    """Two servers that read one config file, versions that arrive one after the other, and the rows so far."""

    def __init__(self, base_path, config_path, aside):
        self.base_path, self.config_path, self.aside = base_path, config_path, aside
        for version in (2, 3, 4):
            shutil.move(base_path / str(version), aside / f"later-{version}")
        write_config(config_path, base_path, 1)
        self.memory = {3: FULL}
        self.servers, self.rows = [self.start(), self.start(_free_ports())], []
        one, other = self.servers
        self.to = ("--server", f"{one.address},{other.url}", "--wait-seconds", "1", "--timeout-seconds", "60")

    def start(self, ports=(0, 0)):
        options = {"allow_new_labels": True, "max_num_load_retries": 1, "cannot_load": self.memory}
        return ModelServer(self.config_path, ports=ports, **options).__enter__()

    def publish(self, version):
        shutil.move(self.aside / f"later-{version}", self.base_path / str(version))

    def tell(self, what):
        """Wait until every server follows the config file, ask all of them, and note a row."""
        (config,) = self.servers[0]._read().model_config_list.config
        labels = {("mnist", label): version for label, version in config.version_labels.items()}
        listed = list(config.model_version_policy.specific.versions)
        for server in self.servers:
            wait_until(lambda server=server: (labels, listed) == (server.labels, server.serving()))
        told = {tuple(self.cells(server, listed)) for server in self.servers}
        assert 1 == len(told), told
        self.rows.append(f"| {len(self.rows) or ''} | {what} | {' | '.join(*told)} |".replace("|  |", "| |"))

    def cells(self, server, listed):
        numbers = [str(version) for version in (1, 2, 3, 4) if ask(server, version=version) == str(version)]
        missing = {ask(server, version=version) for version in (1, 2, 3, 4) if str(version) not in numbers}
        assert missing <= {"NOT_FOUND"}
        labelled = [ask(server, version_label=label) for label in ("stable", "canary")]
        assert set(labelled) <= {"1", "2", "3", "4", "INVALID_ARGUMENT"}
        by_label = ["error" if answer == "INVALID_ARGUMENT" else answer for answer in labelled]
        return [", ".join(map(str, listed)), ask(server), *by_label, ", ".join(numbers)]


def _free_ports():
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


@pytest.fixture
def story(base_path, config_path, tmp_path):
    told = Story(base_path, config_path, tmp_path)
    yield told
    for server in told.servers:
        server.__exit__()


def test_eight_releases(story, release, run_here, caplog):
    """Every step leads to what the documentation's table says, on both servers, and no file is ever refused."""
    one, other = story.servers
    stable, canary = ("--label", "stable", *story.to), ("--label", "canary", *story.to)
    story.tell("servers start; version 1 is published")

    release("PromoteVersion", "--version", "1", *stable)
    story.tell("`PromoteVersion --label stable --version 1`")
    story.publish(2)
    release("PromoteVersion", "--version", "2", *canary)
    story.tell("2 is published; `PromoteVersion --label canary --version 2`")
    release("PromoteVersion", "--version", "2", *stable)
    story.tell("`PromoteVersion --label stable --version 2`")

    story.publish(3)
    release("RollBack", *stable)
    story.tell("3 is published, which no server has the memory for; `RollBack --label stable`")
    assert 3 not in one.tries + other.tries

    before = story.config_path.read_bytes()
    failed = run_here("PromoteVersion", "--version", "3", *stable)
    assert f"version 3 of mnist failed there: {FULL}" in last_line(failed)
    assert before == story.config_path.read_bytes()
    story.tell("`PromoteVersion --label stable --version 3` fails")
    story.memory.clear()
    release("PromoteVersion", "--version", "3", *stable)
    story.tell("there is more memory now, and no server was started anew; the same again")
    assert f"Version 3 failed before: {one.address}: {FULL}" in caplog.text

    other.__exit__()
    assert f"{other.url}: does not answer" in last_line(run_here("RollBack", "--require-all", *stable))
    release("RollBack", *stable)
    story.servers[1] = story.start(other.ports)
    story.tell("one of the two servers is down; `RollBack --label stable`; the server comes back")
    assert f"Going on without a server, which follows when it reads the config file: {other.url}" in caplog.text

    story.publish(4)
    release("PromoteVersion", "--version", "4", *stable)
    story.tell("4 is published; `PromoteVersion --label stable --version 4`")
    release("RemoveLabel", "--label", "canary")
    story.tell("`RemoveLabel --label canary`")
    release("RetireVersions", "--keep", "1", "--apply")
    story.tell("`RetireVersions --keep 1 --apply`")

    assert [] == [refusal for server in (*story.servers, other) for refusal in server.refusals]
    assert ["1", "4"] == sorted(path.name for path in story.base_path.iterdir())
    assert table(PAGE, HEADER) == story.rows, "\n".join(story.rows)
