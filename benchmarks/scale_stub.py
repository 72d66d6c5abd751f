"""`luigi --module benchmarks.scale_stub ...`: the pipeline, with stubs in the place of training and export.

A training leaves 31 KB, as a softmax's does; an export copies the version that `SCALE_TEMPLATE` names, and gives it a
manifest with its own number and recipe. All else is real: scheduling, completeness, checksums, publishing, records.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import tasks
from tasks.execution import calls
from tasks.execution.curves import Curve, write_curve
from tasks.recipes.recipe import Recipe
from tasks.versions.manifest import Manifest, read_manifest, write_manifest
from tasks.versions.wanted_version import WantedVersion

__all__ = ["tasks"]

TEMPLATE = Path(os.environ["SCALE_TEMPLATE"])
STATE = b"stub" * 7_900


def train_segment(directory: Path, _: Recipe, *__: Any) -> float:
    """Leave a state that no training made; gives its loss."""
    (directory / "state.npz").write_bytes(STATE)
    write_curve(directory, Curve(0, 0.0, [(1, 0.0)]))
    return 0.0


def export_version(directory: Path, wanted: WantedVersion, *_: Any) -> tuple[Manifest, dict[str, Any]]:
    """Leave a version that was made for another number."""
    shutil.copytree(TEMPLATE, directory, dirs_exist_ok=True)
    template = read_manifest(TEMPLATE)
    assert template is not None  # noqa: S101 - the benchmark has just made it
    manifest = replace(template, model_version=wanted.version, recipe=wanted.recipe.shaping())
    write_manifest(directory, manifest)
    return manifest, {}


STUBS: dict[str, Callable[..., Any]] = {"train_segment": train_segment, "export_version": export_version}


def run(function: Callable[..., Any], *arguments: Any, **_: Any) -> Any:
    """Call the stub of that name, here."""
    return STUBS[function.__name__](*arguments)


def start(*_: Any) -> None:
    """Nothing needs TensorFlow."""


vars(calls).update(run=run, start=start)
