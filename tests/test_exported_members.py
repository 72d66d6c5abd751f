"""The public surface, and how little it costs to import it."""

import subprocess
import sys

import luigi
import pytest

import tasks

HEAVY = ("tensorflow", "numpy", "pooch", "sklearn", "grpc", "google.protobuf")


def test_the_public_names_are_these():
    """What `tasks` exports is what command lines and other people's tasks rest on."""
    assert tasks.__all__ == [
        "ConfirmRollout",
        "DownloadDataset",
        "ExportAllVersions",
        "ExportVersion",
        "PrepareDataset",
        "PromoteVersion",
        "QuarantineVersion",
        "RebuildVersions",
        "RetireVersions",
        "RollBack",
        "TrainModel",
        "VerifyVersions",
    ]


@pytest.mark.parametrize("name", tasks.__all__)
def test_every_public_name_is_a_described_task(name):
    """Each is a Luigi task under its own name, with a docstring of its own."""
    task = getattr(tasks, name)
    assert issubclass(task, luigi.Task)
    assert name == task.get_task_family()
    assert task.__doc__


@pytest.mark.parametrize(
    "module",
    [
        "tasks",
        "tasks.tutorial",
        "tasks.versions.wanted_version",
        "tasks.versions.manifest",
        "tasks.serving.config_file",
        "tasks.serving.promotion",
        "tasks.serving.retirement",
        "tasks.versions.tree",
        "tasks.storage",
    ],
)
def test_importing_is_light(module):
    """A fresh process that imports the wiring, or asks whether a version is there, loads nothing heavy."""
    code = f"import sys, {module}; print(*[name for name in {HEAVY} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [] == found.stdout.split()
