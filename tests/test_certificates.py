"""Whoever is asked over HTTPS has to have a certificate that somebody vouches for: mirrors, buckets, model servers."""

import http.server
import json

import pytest

from tasks.data.download import fetch_archives
from tasks.errors import BucketFailed, DownloadFailed, RolloutFailed
from tasks.serving.rest_server import RestServer
from tasks.storage.object_store import open_store
from tests.buckets import CREDENTIALS
from tests.certificates import make_certificate, serving_over_tls
from tests.data.conftest import CONTENTS, DATASET, at_once

__all__ = ["at_once"]


class Mirror(http.server.BaseHTTPRequestHandler):
    """Has the four archives, and the status of a model."""

    def do_GET(self):
        """Send what is asked for."""
        status = {"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": {"error_message": ""}}]}
        content = CONTENTS.get(self.path[1:], json.dumps(status).encode())
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def certificate(tmp_path):
    """A certificate that signs itself."""
    return make_certificate(tmp_path)


@pytest.fixture
def unknown(certificate):
    """The address of a server with that, and what was asked of it."""
    with serving_over_tls(certificate, Mirror) as served:
        yield served


def fetch(mirror, directory):
    directory.mkdir(exist_ok=True)
    fetch_archives(DATASET, [mirror], directory, report=lambda *_: None)


@pytest.mark.usefixtures("at_once")
def test_a_mirror_that_nobody_vouches_for_is_refused(unknown, tmp_path):
    """Nothing is asked of it, nothing lies there, and the line says that it is its certificate."""
    address, requests = unknown
    with pytest.raises(DownloadFailed, match=f"{address}: no connection: .*self-signed certificate"):
        fetch(address, tmp_path / "here")
    assert [] == requests
    assert [] == list((tmp_path / "here").iterdir())


@pytest.mark.usefixtures("at_once")
def test_a_mirror_that_you_vouch_for_is_asked(unknown, certificate, tmp_path, monkeypatch):
    """With its certificate in REQUESTS_CA_BUNDLE: so it was that, and nothing else, for which it was refused."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    fetch(unknown[0], tmp_path / "here")
    assert CONTENTS == {path.name: path.read_bytes() for path in (tmp_path / "here").iterdir()}


def test_the_mirrors_that_come_with_the_package_are_asked_over_https():
    """A plain connection is only ever somebody's wish."""
    from tasks.data.dataset import MNIST

    assert ["https"] * len(MNIST.mirrors) == [mirror.partition(":")[0] for mirror in MNIST.mirrors]


def test_a_bucket_that_nobody_vouches_for_is_refused(unknown, monkeypatch):
    """No credentials are shown to it."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("tasks.storage.s3.ATTEMPTS", 1)
    address, requests = unknown
    with pytest.raises(BucketFailed, match="self-signed certificate"):
        list(open_store("s3://models/mnist", address).list())
    assert [] == requests


def test_a_model_server_that_nobody_vouches_for_is_refused(unknown, certificate, monkeypatch):
    """Nothing is asked of it, until its certificate is in REQUESTS_CA_BUNDLE: proxies alone are passed by."""
    address, requests = unknown
    with pytest.raises(RolloutFailed, match="self-signed certificate"):
        RestServer(address).statuses("mnist")
    assert [] == requests
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert [1] == [status.version for status in RestServer(address).statuses("mnist")]
