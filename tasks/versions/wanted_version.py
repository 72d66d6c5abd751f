"""The tree that TensorFlow Serving watches: `<base_path>/<version>/`, and what may be said about a version.

The server takes every child of the base path whose name is an int64 for a version, and does not look again at one
for as long as that stays. So a version that is there is never touched: it either is what is asked for, or in the way.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import VersionConflict
from tasks.recipes.recipe import Recipe
from tasks.storage import disk_errors
from tasks.versions.manifest import MANIFEST, Manifest, find_damage, read_manifest, tell_differences
from tasks.versions.tree import QUARANTINED

MOST_DIGITS = 19  # of an int64; the server reads more zeros too, which nobody writes


@dataclass(frozen=True)
class WantedVersion:
    """A version as it is asked for: where, and from which recipe."""

    base_path: Path
    version: int
    recipe: Recipe

    def __str__(self) -> str:
        return str(self.path)  # as Luigi tells of a target

    @property
    def path(self) -> Path:
        return self.base_path / str(self.version)

    def exists(self) -> bool:
        """Whether the version is there, whole, and is the one asked for."""
        return os.path.lexists(self.path) and self.obstacle() is None

    def obstacle(self) -> str | None:
        """What is in the way of publishing it, with the ways out; None if nothing is, or if it is there already."""
        if not os.path.lexists(self.path):
            return disk_errors.obstacle(self.base_path) or find_namesake(self.path)
        mismatch = self._mismatch()
        return mismatch and (
            f"{self.path} is there{mismatch}. A published version never changes: give the new recipe another version "
            "number or another --base-path, ask for the recipe that is there, "
            f"or remove {self.path} if no server uses it."
        )

    def check_publishable(self) -> None:
        """Make sure that the version can be published, or is there already; raises VersionConflict."""
        if obstacle := self.obstacle():
            raise VersionConflict(obstacle)

    def _mismatch(self) -> str | None:
        """In what the version that is there is not the one asked for."""
        manifest = read_manifest(self.path)
        if manifest is None:
            return (
                f", but was not made by this pipeline (no readable {MANIFEST.as_posix()} in it); "
                "nothing was overwritten"
            )
        damage = find_damage(self.path, manifest)
        return self.mismatch_of(manifest) or (damage and f", but damaged: {damage}; nothing was overwritten")

    def mismatch_of(self, manifest: Manifest) -> str | None:
        """In what a version with that manifest, wherever it lies, is not the one asked for."""
        differences = manifest.differences(self.recipe)
        if differences:
            return f" with another recipe: {tell_differences(differences)}; nothing was overwritten"
        if manifest.validation_accuracy < self.recipe.min_accuracy:
            return (
                f" with a validation accuracy of {manifest.validation_accuracy:.4f}, below the "
                f"min_accuracy of {self.recipe.min_accuracy} now asked for"
            )
        return None


def find_namesake(path: Path) -> str | None:
    """What is in the way if the version was taken back, or another name stands for its number, as `009` for 9."""
    denied = path.with_name(f"{path.name}{QUARANTINED}")
    if os.path.lexists(denied):
        return (
            f"{denied} is there: version {path.name} was taken back, and does not come back by itself. Give the "
            f"new recipe another version number, or bring the old one back: mv {denied} {path}"
        )
    # asked for name by name: a list of all versions, for each of them, is what many of them would wait for
    for digits in range(len(path.name) + 1, MOST_DIGITS + 1):
        twin = path.with_name(path.name.zfill(digits))
        if os.path.lexists(twin):
            return (
                f"{twin} is version {path.name} to the server already. "
                "Rename it, or give the new recipe another version number"
            )
    return None
