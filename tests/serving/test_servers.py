"""Model servers, whichever interface is asked: addresses, proxies, deadlines."""

import pytest

from tasks.errors import InvalidParameter, RolloutFailed
from tasks.serving import servers as model_servers
from tasks.serving.grpc_server import GrpcServer
from tasks.serving.rest_server import RestServer
from tasks.serving.rollout import Rollout
from tasks.serving.servers import find_servers


def test_servers_are_asked_without_a_proxy(rollout, monkeypatch):
    """What the environment says about the way to the web does not hold for model servers."""
    for name in ("http_proxy", "grpc_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert [2, 2] == [len(one.statuses("mnist")) for one in rollout.servers]


def test_a_model_that_the_server_does_not_know_has_no_versions(rollout):
    """NOT_FOUND is an answer: there is nothing yet."""
    assert [[], []] == [one.statuses("unknown") for one in rollout.servers]


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
    [
        "localhost",
        "localhost:65536",
        "localhost:8500/",
        "http://",
        "http://[::1",
        "http://h:x",
        "http://h/v1",
        "a b:1",
        "http://a..b:80",
        "a..b:80",
        "http://.:80",
        "-:80",
        f"http://{'a' * 64}:80",
        "http://[::::]:80",
        "[1.2]:80",
    ],
)
def test_an_address_that_is_none_is_refused(address):
    """What is allowed is told before anybody is asked."""
    with pytest.raises(InvalidParameter, match="allowed is host:port"):
        find_servers([address])
