"""The tree that TensorFlow Serving watches: `<base_path>/<version>/`, and what may be said about a version.

The server takes every child of the base path whose name is an int64 for a version and never looks again at one
that it has seen. So a version that is there is never touched: it either is what is asked for, or in the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import VersionConflict
from tasks.storage import publishing
from tasks.versions.manifest import MANIFEST, Manifest, Setting, read_manifest
from tasks.versions.tree import version_number

LARGEST_VERSION = 2**63 - 1


@dataclass(frozen=True)
class WantedVersion:
    """A version as it is asked for: where, and everything that shapes it; plus the accuracy that it must have."""

    base_path: Path
    version: int
    recipe: Mapping[str, Setting]
    threads: int
    warmup_records: int
    min_accuracy: float

    @property
    def path(self) -> Path:
        """Where the version is, or will be."""
        return self.base_path / str(self.version)

    def exists(self) -> bool:
        """Whether the version is there and is the one asked for."""
        manifest = read_manifest(self.path)
        return (
            manifest is not None
            and not self._differences(manifest)
            and manifest.validation_accuracy >= self.min_accuracy
        )

    def obstacle(self) -> str | None:
        """What is in the way of publishing it, with the ways out; None if nothing is, or if it is there already."""
        if not self.path.exists() and not self.path.is_symlink():
            return publishing.obstacle(self.base_path) or self._twin()
        manifest = read_manifest(self.path)
        if manifest is None:
            return (
                f"{self.path} is there, but was not made by this pipeline (no readable {MANIFEST.as_posix()} in it); "
                f"nothing was overwritten. {self._ways_out()}"
            )
        differences = self._differences(manifest)
        if differences:
            listed = ", ".join(f"{key} is {here}, asked for {asked}" for key, (here, asked) in differences.items())
            return f"{self.path} is there with another recipe: {listed}; nothing was overwritten. {self._ways_out()}"
        if manifest.validation_accuracy < self.min_accuracy:
            return (
                f"{self.path} is there with a validation accuracy of {manifest.validation_accuracy:.4f}, below the "
                f"min_accuracy of {self.min_accuracy} now asked for. {self._ways_out()}"
            )
        return None

    def refuse_obstacles(self) -> None:
        """Do nothing if the version can be published.

        Raises:
            VersionConflict: it cannot; the text is `obstacle()`.
        """
        obstacle = self.obstacle()
        if obstacle:
            raise VersionConflict(obstacle)

    def _twin(self) -> str | None:
        """What is in the way if another name stands for the same number, as `009` does for 9."""
        names = (entry.name for entry in self.base_path.iterdir()) if self.base_path.is_dir() else ()
        twin = next((name for name in names if version_number(name) == self.version), None)
        return twin and (
            f"{self.base_path / twin} is version {self.version} to the server already. "
            "Rename it, or give the new recipe another version number"
        )

    def _differences(self, manifest: Manifest) -> dict[str, tuple[Any, Any]]:
        return manifest.differences(self.recipe, self.threads, self.warmup_records)

    def _ways_out(self) -> str:
        return (
            "A published version never changes: give the new recipe another version number or another --base-path, "
            f"ask for the recipe that is there, or remove {self.path} if no server uses it."
        )
