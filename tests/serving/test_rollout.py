"""What running servers say, and what a version answers there."""

import contextlib
import itertools
import shutil
import socket
import threading
import time

import pytest

from tasks.errors import InvalidParameter, RolloutFailed
from tasks.serving import servers as model_servers
from tasks.serving.grpc_server import GrpcServer
from tasks.serving.rest_server import RestServer
from tasks.serving.rollout import Rollout
from tasks.serving.servers import find_servers
from tests.serving.config_server import ConfigServer


def write_config(config_path, base_path, *versions):
    listed = " ".join(f"versions: {version}" for version in versions)
    config_path.write_text(
        f'model_config_list {{ config {{ name: "mnist" base_path: "{base_path}" model_platform: "tensorflow"'
        f" model_version_policy {{ specific {{ {listed} }} }} }} }}"
    )


@pytest.fixture
def server(base_path, config_path):
    """A server of the versions 1 and 2."""
    write_config(config_path, base_path, 1, 2)
    with ConfigServer(config_path) as running:
        yield running


@pytest.fixture
def rollout(server):
    """That server, over gRPC and over REST."""
    return Rollout("mnist", find_servers([server.address, server.url]), 5.0)


def test_a_version_is_waited_for_and_answers_as_it_did(rollout, base_path):
    """AVAILABLE after a while on both interfaces, with the scores that were exported."""
    rollout.wait_for(2, listed_since=0.0)
    rollout.replay(2, base_path / "2")
    assert ["1 AVAILABLE, 2 AVAILABLE"] * 2 == [line.split(": ", 1)[1] for line in rollout.describe()]


def test_other_scores_are_noticed(rollout, base_path):
    """A server that serves something else under that number does not pass, whichever interface is asked."""
    rollout.wait_for(1, listed_since=0.0)
    for one in rollout.servers:
        with pytest.raises(RolloutFailed, match="does not answer as when it was exported: the scores of"):
            Rollout("mnist", [one], 5.0).replay(1, base_path / "2")


def test_servers_are_asked_without_a_proxy(rollout, monkeypatch):
    """What the environment says about the way to the web does not hold for model servers."""
    for name in ("http_proxy", "grpc_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert [2, 2] == [len(one.statuses("mnist")) for one in rollout.servers]


def test_a_version_without_golden_requests_is_not_confirmed(rollout, base_path):
    """Nothing was compared, so nothing is claimed."""
    rollout.wait_for(1, listed_since=0.0)
    shutil.rmtree(base_path / "1" / "assets.extra" / "golden")
    with pytest.raises(RolloutFailed, match="carries no golden requests"):
        rollout.replay(1, base_path / "1")


def test_a_version_that_the_server_does_not_know_is_not_confirmed(rollout):
    """The stated time passes, and the line says on which server."""
    hasty = Rollout("mnist", rollout.servers, 1.0)
    with pytest.raises(RolloutFailed, match=r"version 3 of mnist is not known there; given up after 1 s"):
        hasty.wait_for(3, listed_since=0.0)


def test_a_model_that_the_server_does_not_know_has_no_versions(rollout):
    """NOT_FOUND is an answer: there is nothing yet."""
    assert [[], []] == [one.statuses("unknown") for one in rollout.servers]


def test_a_version_that_ends_is_told_in_the_servers_words(rollout, base_path, config_path):
    """A version that fails to load there fails the rollout at once."""
    (base_path / "4" / "saved_model.pb").write_bytes(b"garbage")
    write_config(config_path, base_path, 1, 2, 4)
    for one in rollout.servers:
        with pytest.raises(RolloutFailed, match=r"version 4 of mnist failed there: failed to load: .*parse"):
            Rollout("mnist", [one], 60.0).wait_for(4, listed_since=0.0)


def test_a_server_that_hangs_is_given_up(server, rollout, monkeypatch):
    """Each call has a deadline."""
    monkeypatch.setattr(model_servers, "CALL_SECONDS", 0.3)
    server.silent = True
    for one in rollout.servers:
        with pytest.raises(RolloutFailed, match=one.address):
            one.statuses("mnist")
        with pytest.raises(RolloutFailed, match=r"after 0\.5 s"):
            Rollout("mnist", [one], 0.5).wait_for(1, listed_since=0.0)


@pytest.mark.parametrize(
    ("scheme", "say", "drops"),
    [
        ("http", b"HTTP/1.1 200 OK\r\n", b"X"),
        ("http", b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b" "),
        ("http", b"HTTP/1.1 200 OK\r\n\r\n", b" "),
        ("https", b"", b"\x16\x03\x03\x3f\xff"),
    ],
)
def test_a_server_that_drips_is_given_up(monkeypatch, scheme, say, drops):
    """A byte now and then keeps no call open, be it of the header, of a body, of one without an end or of TLS."""
    monkeypatch.setattr(model_servers, "CALL_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dripping = threading.Thread(target=drip, args=(listener, say, drops), daemon=True)
        dripping.start()
        began = time.monotonic()
        with pytest.raises(RolloutFailed, match="does not answer: timed out"):
            RestServer(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}").statuses("mnist")
        assert time.monotonic() - began < 2


def drip(listener, say, drops):
    """Take one connection, say something, and then one of the drops every 0.1 s until the test is over."""
    connection, _ = listener.accept()
    with connection, contextlib.suppress(OSError):
        connection.sendall(say)
        for byte in itertools.cycle(drops):
            connection.sendall(bytes([byte]))
            time.sleep(0.1)


def test_without_servers_the_stated_time_passes(monkeypatch):
    """Counted from when the file was written: what has been listed for long is not waited for."""
    slept = []
    monkeypatch.setattr("time.sleep", slept.append)
    monkeypatch.setattr("time.time", lambda: 1000.0)
    for listed_since in (1000.0, 990.0, 500.0):
        Rollout("mnist", (), 0.0, 30.0).wait_for(1, listed_since=listed_since)
    assert [30.0, 20.0] == slept


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("localhost:8500", GrpcServer),
        ("[::1]:8500", GrpcServer),
        ("http://localhost", RestServer),
        ("https://127.0.0.1:8501/", RestServer),
        ("http://[::1]:8501", RestServer),
    ],
)
def test_an_address_says_which_interface_it_is(address, kind):
    """With http:// or https:// it is REST, without gRPC."""
    assert [kind] == [type(one) for one in find_servers([address])]


@pytest.mark.parametrize(
    "address",
    ["localhost", "localhost:65536", "localhost:8500/", "http://", "http://[::1", "http://h:x", "http://h/v1", "a b:1"],
)
def test_an_address_that_is_none_is_refused(address):
    """What is allowed is told before anybody is asked."""
    with pytest.raises(InvalidParameter, match="allowed is host:port"):
        find_servers([address])
