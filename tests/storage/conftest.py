"""One store of each kind, empty."""

import pytest

from tasks.storage.object_store import open_store
from tests.buckets import GcsServer


@pytest.fixture(scope="session")
def gcs_server():
    """A Google Cloud Storage on loopback."""
    server = GcsServer()
    yield server
    server.end()


@pytest.fixture(params=["folder", "s3", "gcs"])
def store(request, tmp_path, s3, gcs_server, monkeypatch):
    """An empty store of that kind, below a prefix."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server.address)
    if request.param == "folder":
        (tmp_path / "bucket").mkdir()
        return open_store(str(tmp_path / "bucket"))
    return open_store((s3 if request.param == "s3" else gcs_server).make_bucket(), s3.address)
