"""A manifest and a wanted version that fit each other, until a test changes one of them."""

from pathlib import Path

import pytest

from tests import quiet_tensorflow  # isort: skip - before anything else imports TensorFlow
from tasks.serving.manifest import Manifest, write_manifest
from tasks.serving.version_tree import WantedVersion

__all__ = ["quiet_tensorflow"]

RECIPE = {
    "dataset": "mnist",
    "model": "softmax",
    "training_iteration": 1000,
    "batch_size": 50,
    "optimizer": "sgd",
    "learning_rate": 0.5,
    "schedule": "constant",
    "seed": 0,
}


def make_manifest(*, accuracy=0.92, recipe=RECIPE, threads=1, **changed):
    return Manifest(
        **{
            "model_version": 1,
            "recipe": recipe,
            "threads": threads,
            "dataset_checksums": {"train-images": "00"},
            "metrics": {"validation": {"accuracy": accuracy, "examples": 100}},
            "signatures": {},
            "files": {"saved_model.pb": {"bytes": 1, "sha256": "00"}},
            "made_with": {"tensorflow": "2.21.0"},
            **changed,
        }
    )


@pytest.fixture
def publish(tmp_path):
    """Put a version with that manifest into the base path."""

    def put(version=1, **changed) -> Path:
        directory = tmp_path / str(version)
        directory.mkdir()
        write_manifest(directory, make_manifest(**changed))
        return directory

    return put


@pytest.fixture
def want(tmp_path):
    """A version as it is asked for."""

    def ask(version=1, *, min_accuracy=0.0, threads=1, **recipe) -> WantedVersion:
        return WantedVersion(tmp_path, version, {**RECIPE, **recipe}, threads, min_accuracy)

    return ask
