"""The public surface, and how little it costs to import it."""

import os
import subprocess
import sys

import luigi
import pytest

import tasks
from tests.conftest import ROOT

LIGHT = (
    "tasks.storage",
    "tasks.versions.manifest",
    "tasks.versions.tree",
    "tasks.versions.wanted_version",
    "tasks.serving.config_file",
    "tasks.serving.promotion",
    "tasks.serving.retirement",
    "tasks",
    "tasks.tutorial",
)
IMPORT = """
import importlib, sys

HEAVY = {
    "boto3", "cryptography", "distributed", "google.cloud", "google.protobuf", "grpc", "jinja2", "matplotlib", "numpy",
    "pooch", "sklearn", "tensorflow", "tqdm",
}
for module in sys.argv[1:]:
    importlib.import_module(module)
    if HEAVY & set(sys.modules):
        sys.exit(f"{module} loads {HEAVY & set(sys.modules)}")
"""


def test_the_public_names_are_these():
    """What `tasks` exports is what command lines and other people's tasks rest on."""
    assert tasks.__all__ == [
        "CompareVersions",
        "ConfirmRollout",
        "DownloadDataset",
        "ExportAllVersions",
        "ExportVersion",
        "PrepareDataset",
        "PromoteVersion",
        "PullVersions",
        "PushVersions",
        "QuarantineVersion",
        "RebuildVersions",
        "RemoveLabel",
        "RetireVersions",
        "RollBack",
        "SignVersions",
        "TrainModel",
        "VerifyVersions",
        "WithdrawVersions",
    ]


@pytest.mark.parametrize("name", tasks.__all__)
def test_every_public_name_is_a_described_task(name):
    """Each is a Luigi task under its own name, with a docstring of its own."""
    task = getattr(tasks, name)
    assert issubclass(task, luigi.Task)
    assert name == task.get_task_family()
    assert task.__doc__


def test_importing_is_light(tmp_path):
    """A fresh process that imports the wiring, or asks whether a version is there, loads nothing heavy, in silence."""
    result = subprocess.run(
        [sys.executable, "-c", IMPORT, *LIGHT],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ("", "") == (result.stdout, result.stderr)
    assert [] == list(tmp_path.iterdir())
