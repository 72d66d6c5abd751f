"""The manifest of a version: what it was made from and what it is worth, in `assets.extra/manifest.json`.

The same recipe on the same data gives the same manifest, byte for byte; when, where and how long stays out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1
MANIFEST = Path("assets.extra", "manifest.json")  # the one folder of a SavedModel that is free for extra files

Setting = str | int | float


@dataclass(frozen=True)
class Manifest:
    """Everything known about a version that is the same whenever and wherever it is made.

    `recipe`, `threads` and `warmup_records` are all that shapes its bytes besides the data, which
    `dataset_checksums` identify;
    `metrics` are by split; `files` are all files of the version but the manifest, with size and SHA-256.
    """

    model_version: int
    recipe: Mapping[str, Setting]
    threads: int
    warmup_records: int
    dataset_checksums: Mapping[str, str]
    metrics: Mapping[str, Mapping[str, Any]]
    signatures: Mapping[str, Any]
    files: Mapping[str, Mapping[str, int | str]]
    made_with: Mapping[str, str]
    schema_version: int = SCHEMA_VERSION

    @property
    def validation_accuracy(self) -> float:
        """What a recipe's `min_accuracy` is compared with."""
        return float(self.metrics["validation"]["accuracy"])

    @property
    def accuracies(self) -> dict[str, float]:
        """Split -> accuracy, a fraction."""
        return {split: float(entry["accuracy"]) for split, entry in self.metrics.items()}

    def summary(self) -> str:
        """One line for a log."""
        measured = ", ".join(f"{split} accuracy {accuracy:.4f}" for split, accuracy in self.accuracies.items())
        recipe = f"{self.recipe['model']}, {self.recipe['training_iteration']} iterations"
        return f"version {self.model_version} ({recipe}): {measured}"

    def differences(
        self, recipe: Mapping[str, Setting], threads: int, warmup_records: int
    ) -> dict[str, tuple[Any, Any]]:
        """The keys in which this version differs from the one asked for -> (value here, value asked for)."""
        here = {**self.recipe, "threads": self.threads, "warmup_records": self.warmup_records}
        asked = {**recipe, "threads": threads, "warmup_records": warmup_records}
        return {key: (here.get(key), asked.get(key)) for key in {**asked, **here} if here.get(key) != asked.get(key)}


def write_manifest(version_directory: Path, manifest: Manifest) -> None:
    """Write `manifest` into a version that is not yet published."""
    path = version_directory / MANIFEST
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(asdict(manifest), indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_manifest(version_directory: Path) -> Manifest | None:
    """The manifest of a version; None where there is none, or none of this schema."""
    try:
        content = json.loads((version_directory / MANIFEST).read_bytes())
        manifest = Manifest(**content)
        usable = (
            set(content) == {field.name for field in fields(Manifest)}
            and manifest.schema_version == SCHEMA_VERSION
            and isinstance(manifest.recipe, dict)
            and manifest.validation_accuracy >= 0
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return manifest if usable else None
