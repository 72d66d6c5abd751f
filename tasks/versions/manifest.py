"""The manifest of a version: what it was made from and what it is worth, in `assets.extra/manifest.json`.

The same recipe on the same data gives the same manifest, byte for byte; when, where and how long stays out.
"""

import hashlib
import json
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from tasks.recipes.checks import Value
from tasks.recipes.recipe import KEYS, Recipe
from tasks.storage.files import read_regular

SCHEMA_VERSION = 1
MANIFEST = Path("assets.extra", "manifest.json")  # the one folder of a SavedModel that is free for extra files

CHECKSUM = "manifest_sha256"  # of the rest of it: a bit that flips on a disk is noticed

Files = Mapping[str, Mapping[str, int | str]]  # path in the version -> its size (bytes) and its SHA-256 (sha256)

OTHER_KEYS = tuple(name for name, key in KEYS.items() if key.shapes and key.section != "recipe")


@dataclass(frozen=True)
class Manifest:
    """Everything known about a version that is the same whenever and wherever it is made."""

    model_version: int
    recipe: Mapping[str, Value]  # every key that shapes the bytes of the version: `Recipe.shaping`
    dataset_checksums: Mapping[str, str]
    metrics: Mapping[str, Mapping[str, Any]]  # by split
    signatures: Mapping[str, Any]
    files: Files  # all but the manifest
    made_with: Mapping[str, str]
    schema_version: int = SCHEMA_VERSION

    @property
    def validation_accuracy(self) -> float:
        """What a recipe's `min_accuracy` is compared with."""
        return self.accuracies["validation"]

    @property
    def accuracies(self) -> dict[str, float]:
        """Split -> accuracy, a fraction."""
        return {split: float(entry["accuracy"]) for split, entry in self.metrics.items()}

    @property
    def measured(self) -> str:
        """The accuracies in words: `validation 0.9912, test 0.9919`."""
        return ", ".join(f"{split} {accuracy:.4f}" for split, accuracy in self.accuracies.items())

    @property
    def size(self) -> int:
        """Bytes of all files but the manifest."""
        return sum(int(entry["bytes"]) for entry in self.files.values())

    def summary(self) -> str:
        """What it is worth, in half a line."""
        measured = ", ".join(f"{split} {accuracy:.4f}" for split, accuracy in self.accuracies.items())
        return f"{measured}, {self.size / 1e6:.1f} MB"

    def differences(self, recipe: Recipe) -> dict[str, tuple[Any, Any]]:
        """The keys in which this version differs from the one asked for -> (value here, value asked for)."""
        return differences(self.recipe, recipe.shaping())


def differences(here: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The keys that have not the same value in both -> both values."""
    return {key: (here.get(key), asked.get(key)) for key in {**asked, **here} if here.get(key) != asked.get(key)}


def tell_differences(found: Mapping[str, tuple[Any, Any]]) -> str:
    """What `differences` gave, for a person."""
    return ", ".join(f"{key} is {here}, asked for {asked}" for key, (here, asked) in found.items())


def find_damage(version_directory: Path, manifest: Manifest) -> str | None:
    """The first file that is missing or has another size than the manifest says; None if all are as they should be."""
    for name, entry in manifest.files.items():
        try:
            status = (version_directory / name).stat()
        except OSError:
            return f"{name} is missing"
        if not stat.S_ISREG(status.st_mode):
            return f"{name} is no file"
        if status.st_size != entry["bytes"]:
            return f"{name} has {status.st_size} bytes, its manifest says {entry['bytes']}"
    return None


def made_with() -> dict[str, str]:
    """The installed versions of what a model is made with."""
    return {name: installed_version(name) for name in ("tensorflow", "mnist-versions")}


@lru_cache(maxsize=8)
def installed_version(package: str) -> str:
    """The version of an installed package, found without importing it (0.4 ms: once a process)."""
    return metadata.version(package)


def _digest(content: Mapping[str, Any]) -> str:
    """The SHA-256 of what a manifest says, in whatever order and form."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_manifest(version_directory: Path, manifest: Manifest) -> None:
    """Write `manifest` into a version that is not yet published; keys of other sections stand beside the recipe's."""
    content = asdict(manifest)
    content.update({name: content["recipe"].pop(name) for name in OTHER_KEYS})
    content[CHECKSUM] = _digest(content)
    path = version_directory / MANIFEST
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_manifest(version_directory: Path) -> Manifest | None:
    """The manifest of a version; None where there is none, or one of another schema."""
    try:
        return parse_manifest(read_regular(version_directory / MANIFEST))
    except OSError:
        return None


def parse_manifest(text: bytes) -> Manifest | None:
    """The manifest that a file's content is; None if it is none, or one of another schema."""
    try:
        content = json.loads(text)
        if content.pop(CHECKSUM, None) not in {_digest(content), None}:  # earlier releases wrote none
            return None
        same_schema = content["schema_version"] == SCHEMA_VERSION
        content["recipe"] = {**content["recipe"], **{name: content.pop(name, None) for name in OTHER_KEYS}}
        manifest = Manifest(**content)
        tables = manifest.dataset_checksums, manifest.signatures, manifest.files, manifest.made_with
        usable = same_schema and manifest.validation_accuracy >= 0 and all(isinstance(one, dict) for one in tables)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return manifest if usable else None
