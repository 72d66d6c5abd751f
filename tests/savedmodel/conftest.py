"""Versions exported in this process; a manifest and a wanted version that fit each other until a test changes one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import quiet_tensorflow  # isort: skip - before anything else imports TensorFlow
from tasks.versions.manifest import Manifest, write_manifest
from tasks.versions.wanted_version import WantedVersion
from tests import small
from tests.savedmodel.versions import MODELS, draw_weights, export, write

__all__ = ["quiet_tensorflow"]

RECIPE = small.make_recipe().shaping()


def make_manifest(*, accuracy=0.92, recipe=RECIPE, **changed):
    return Manifest(
        **{
            "model_version": 1,
            "recipe": recipe,
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
        (directory / "saved_model.pb").write_bytes(b"1")
        write_manifest(directory, make_manifest(**changed))
        return directory

    return put


@pytest.fixture
def want(tmp_path):
    """A version as it is asked for."""

    def ask(version=1, **recipe) -> WantedVersion:
        return WantedVersion(tmp_path, version, small.make_recipe(**recipe))

    return ask


@pytest.fixture(scope="session")
def weights():
    """Model -> its weights in the exported versions."""
    return {model: draw_weights(model) for model in MODELS.values()}


@pytest.fixture(scope="session")
def exported(tmp_path_factory, weights) -> Path:
    """A base path with version 1 (softmax) and 2 (cnn); not to be changed."""
    base_path = tmp_path_factory.mktemp("models") / "mnist"
    for version, model in MODELS.items():
        export(base_path / str(version), version, model, weights[model])
    return base_path


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """A folder with a bare SavedModel of each architecture; not to be changed."""
    directory = tmp_path_factory.mktemp("written")
    for model in MODELS.values():
        write(directory / model, model)
    return directory


ANOTHER_PROCESS = """
import sys
from pathlib import Path
from tests import quiet_tensorflow
from tasks.savedmodel.loaded_model import load_saved_model
from tests.savedmodel.versions import IMAGES, MODELS, write
import numpy as np
here, there = Path(sys.argv[1]), Path(sys.argv[2])
for model in MODELS.values():
    write(here / model, model)
    with load_saved_model(there / model) as loaded:
        np.save(here / f"{model}.npy", loaded.predict(IMAGES))
"""


@pytest.fixture(scope="session")
def elsewhere(written, tmp_path_factory):
    """A folder in which another process wrote the same models, and the scores that it got from ours."""
    directory = tmp_path_factory.mktemp("elsewhere")
    subprocess.run(
        [sys.executable, "-c", ANOTHER_PROCESS, directory, written],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    return directory


@pytest.fixture
def tree(exported, tmp_path) -> Path:
    """A copy of that base path, to be broken."""
    return Path(shutil.copytree(exported, tmp_path / "models" / "mnist"))


@pytest.fixture
def images():
    """Images float32 [20, 784] in [0, 1]."""
    return small.make_images(20, seed=4)[0].reshape(-1, 784).astype(np.float32) / np.float32(255)
