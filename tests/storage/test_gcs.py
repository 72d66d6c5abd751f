"""What Google's store and the way to it refuse, told in one line."""

import http.server

import pytest

from tasks.errors import BucketFailed
from tasks.storage import gcs
from tasks.storage.object_store import open_store
from tests.conftest import free_port


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """Clients that give up soon, and look for credentials nowhere but where a test puts them."""
    monkeypatch.setattr(gcs, "RETRY", gcs.RETRY.with_timeout(1.0).with_delay(initial=0.05, maximum=0.1))
    monkeypatch.setattr(gcs, "TIMEOUT", (0.3, 0.3))
    for name, value in {"NO_GCE_CHECK": "true", "HOME": "/nowhere", "CLOUDSDK_CONFIG": "/nowhere"}.items():
        monkeypatch.setenv(name, value)
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    gcs._client.cache_clear()
    yield
    gcs._client.cache_clear()


def list_all():
    return list(open_store("gs://models-1/mnist").list())


class Refusing(http.server.SimpleHTTPRequestHandler):
    """Answers every request with `status`."""

    status = 403

    def do_GET(self):
        self.send_error(self.status, "by this test")

    def log_message(self, *_):
        """Nothing is printed between the tests' dots."""


class Busy(Refusing):
    status = 503


def test_missing_credentials():
    """The line says which variable to set."""
    with pytest.raises(BucketFailed, match="no credentials; set GOOGLE_APPLICATION_CREDENTIALS"):
        list_all()


def test_refused(http_server, monkeypatch, tmp_path):
    """The status and what the store says stand in the line."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", http_server(tmp_path, Refusing).rstrip("/"))
    with pytest.raises(BucketFailed, match="gs://models-1/mnist: refused with 403"):
        list_all()


def test_busy(http_server, monkeypatch, tmp_path):
    """It is asked again for a while, and then it is told."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", http_server(tmp_path, Busy).rstrip("/"))
    with pytest.raises(BucketFailed, match=r"gs://models-1/mnist: no answer: Timeout of 1\.0s exceeded"):
        list_all()


def test_nothing_listens(monkeypatch):
    """Likewise."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(BucketFailed, match=r"gs://models-1/mnist: no answer: Timeout of 1\.0s exceeded"):
        list_all()
