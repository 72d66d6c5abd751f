"""The story that docs/releasing.md tells, through the command line, against a server that follows its config file."""

import contextlib
import json
import shutil
import socket
import subprocess

import pytest

from tasks.serving.config_file import find_model, labels, read_config
from tasks.serving.grpc_server import GrpcServer
from tasks.serving.servers import AVAILABLE
from tests.model_server import ModelServer
from tests.serving.conftest import wait_until

BY_HAND = """# written by hand, before anything was promoted
model_config_list {
  config { name: "mnist" base_path: "%s" model_platform: "tensorflow" }
  config { name: "other" base_path: "%s" model_platform: "tensorflow" }
}
"""


def read_moves(config_path):
    """(label, from, to) of each line of the log."""
    lines = (config_path.parent / "releases.jsonl").read_text().splitlines()
    return [(entry["label"], entry["from"], entry["to"]) for entry in map(json.loads, lines)]


@pytest.mark.long
def test_versions_are_released_step_by_step(run_luigi, release, tmp_path, config_path):
    """Export, serve, promote, canary, promote, confirm, roll back, retire: the server follows each step at once."""
    base_path = tmp_path / "models" / "mnist"
    export = ("--dataset", "small", "--training-iteration", "20")
    run_luigi("ExportAllVersions", "--versions", "1,2", *export, check=0)
    by_hand = BY_HAND % (base_path, shutil.copytree(base_path, tmp_path / "models" / "other"))
    config_path.write_text(by_hand)

    def loaded():
        return sorted(find_model(read_config(config_path), base_path).model_version_policy.specific.versions)

    with ModelServer(config_path) as server:

        def step(*arguments):
            return release(*arguments, "--server", f"{server.address},{server.url}")

        wait_until(lambda: server.serving() == [2])  # without a policy the newest alone

        step("PromoteVersion", "--label", "stable", "--version", "1")
        wait_until(lambda: server.labels == {("mnist", "stable"): 1})
        assert server.serving() == loaded() == [1, 2]

        step("PromoteVersion", "--label", "canary", "--version", "2")
        wait_until(lambda: server.labels == {("mnist", "stable"): 1, ("mnist", "canary"): 2})

        step("PromoteVersion", "--label", "stable", "--version", "2", "--why", "a day without complaints")
        wait_until(lambda: server.labels["mnist", "stable"] == 2)

        said = step("ConfirmRollout", "--version", "2")
        assert "published: 1, 2; labels: canary -> 2, stable -> 2" in said
        assert f"{server.address}: 1 AVAILABLE, 2 AVAILABLE" in said

        step("RollBack", "--label", "stable", "--why", "slow")
        wait_until(lambda: server.labels["mnist", "stable"] == 1)
        step("RollBack", "--label", "stable")  # done already: nothing goes further back

        run_luigi("ExportAllVersions", "--versions", "3,4", *export, check=0)
        step("PromoteVersion", "--label", "stable", "--version", "4")
        wait_until(lambda: server.labels["mnist", "stable"] == 4)
        assert server.serving() == loaded() == [1, 2, 4]

        plan = release("RetireVersions", "--keep", "1")
        assert "1 version, 0.2 MiB would be removed (do it with --apply); 1, 2, 4 stay" in plan
        assert (base_path / "3").is_dir()
        release("RetireVersions", "--keep", "1", "--apply", "--why", "disk")
        wait_until(lambda: server.serving() == [1, 2, 4])

        assert [] == server.refusals
    assert ["1", "2", "4"] == sorted(path.name for path in base_path.iterdir())
    assert read_moves(config_path) == [
        ("stable", None, 1),
        ("canary", None, 2),
        ("stable", 1, 2),
        ("stable", 2, 1),
        ("stable", 1, 4),
        (None, 3, None),
    ]
    assert "other" == find_model(read_config(config_path), tmp_path / "models" / "other").name
    assert [by_hand] == [path.read_text() for path in config_path.parent.glob("models.config.*.by-hand")]


@pytest.mark.model_server
def test_the_real_server_follows_too(release, base_path, config_path):
    """tensorflow_model_server loads, labels and rolls back as the steps say."""
    binary = shutil.which("tensorflow_model_server")
    if binary is None:
        pytest.skip("tensorflow_model_server is not on the PATH")
    config_path.write_text(BY_HAND % (base_path, base_path))
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [
            binary,
            f"--port={port}",
            f"--model_config_file={config_path}",
            "--model_config_file_poll_wait_seconds=1",
            "--allow_version_labels_for_unavailable_models",
        ]
    )
    try:
        server = GrpcServer(f"127.0.0.1:{port}")
        for arguments in (
            ("ConfirmRollout", "--version", "4"),
            ("PromoteVersion", "--label", "stable", "--version", "1"),
            ("PromoteVersion", "--label", "stable", "--version", "2"),
            ("RollBack", "--label", "stable"),
            ("ConfirmRollout", "--version", "1"),
        ):
            release(*arguments, "--server", server.address)
        assert AVAILABLE in {status.state for status in server.statuses("mnist") if status.version == 1}
        assert {"stable": 1} == labels(find_model(read_config(config_path), base_path))
    finally:
        process.kill()
        process.wait()
