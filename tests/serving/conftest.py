"""A tree of four versions that were really exported, and what is needed to release them."""

import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from tests import quiet_tensorflow  # isort: skip - before anything else imports TensorFlow

import numpy as np
import pytest

from tasks.data.arrays import Split
from tasks.execution.fitness import find_fault
from tasks.model.architectures import find_architecture
from tasks.savedmodel.export import export_version
from tasks.serving import promotion
from tasks.serving.config_file import find_model, read_config
from tasks.serving.rollout import Rollout
from tasks.serving.servers import find_servers
from tasks.serving.transaction import ServedModel
from tasks.versions.manifest import made_with
from tasks.versions.wanted_version import WantedVersion
from tests import small
from tests.model_server import ModelServer

__all__ = ["quiet_tensorflow"]

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A base path with the versions 1 to 4, whose weights differ; not to be changed."""
    base_path = tmp_path_factory.mktemp("exported") / "mnist"
    images, labels = small.make_images(60, seed=3)
    data = Split(images.reshape(-1, 784), labels)
    for version in (1, 2, 3, 4):
        stream = np.random.RandomState(version)
        weights = {"weights": stream.randn(784, 10).astype(np.float32) / 10, "biases": np.zeros(10, np.float32)}
        directory = base_path / str(version)
        directory.mkdir(parents=True)
        export_version(
            directory,
            WantedVersion(base_path, version, small.make_recipe(training_iteration=version)),
            architecture=find_architecture("softmax"),
            form=small.FORM,
            weights=weights,
            measured_on={"validation": data, "test": data},
            dataset_checksums=small.SMALL.checksums,
            made_with=made_with(),
        )
    return base_path


@pytest.fixture
def base_path(exported, tmp_path):
    """A copy of that tree, in the place where the tasks look for it."""
    return Path(shutil.copytree(exported, tmp_path / "models" / "mnist"))


@pytest.fixture
def config_path(tmp_path):
    """Where the tasks look for the config file."""
    return tmp_path / "models" / "models.config"


@pytest.fixture
def served(base_path, config_path):
    """The model, of which nothing is served yet."""
    return serve(config_path, base_path)


@pytest.fixture
def nobody():
    """No server, and no time to wait for one."""
    return Rollout("mnist", (), 0.0, 0.0)


@pytest.fixture
def server(base_path, config_path):
    """A server of the versions 1 and 2."""
    write_config(config_path, base_path, 1, 2)
    with ModelServer(config_path) as running:
        yield running


@pytest.fixture
def rollout(server):
    """That server, over gRPC and over REST."""
    return Rollout("mnist", find_servers([server.address, server.url]), 5.0)


@pytest.fixture
def release(run_here):
    """Run `luigi ...` in this process, where TensorFlow is imported already; gives what it printed."""
    return lambda *arguments: run_here(*arguments, check=0).stdout


@pytest.fixture
def in_process():
    """Start a Python process that runs `code`; what is left of it when the test ends is killed."""
    processes = []

    def start(code, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def serve(config_path, base_path, name="mnist", *, keep_loaded=2, verdict=None, server_base_path=""):
    """A model in a config file; versions are verified, unless the test has a verdict of its own."""
    verdict = verdict or partial(find_fault, base_path, threads=1, config_path=config_path)
    return ServedModel(config_path, base_path, name, keep_loaded, verdict, server_base_path)


def promote(served, label, version, rollout=None, why="", **options):
    rollout = rollout or Rollout("mnist", (), 0.0, 0.0)
    return promotion.promote(served, label, version, rollout, why=why, **options)


def roll_back(served, label):
    return promotion.roll_back(served, label, Rollout("mnist", (), 0.0, 0.0), why="")


def loaded(served):
    return list(find_model(read_config(served.config_path), served.base_path).model_version_policy.specific.versions)


def write_config(config_path, base_path, *versions):
    listed = " ".join(f"versions: {version}" for version in versions)
    config_path.write_text(
        f'model_config_list {{ config {{ name: "mnist" base_path: "{base_path}" model_platform: "tensorflow"'
        f" model_version_policy {{ specific {{ {listed} }} }} }} }}"
    )


def wait_until(condition, seconds=30):
    """Wait for what a server does in a thread of its own."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)
