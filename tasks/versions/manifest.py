"""The manifest of a version: what it was made from and what it is worth, in `assets.extra/manifest.json`.

The same recipe on the same data gives the same manifest, byte for byte; when, where and how long stays out.
"""

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

from tasks.recipes.checks import Value
from tasks.recipes.recipe import KEYS, Recipe
from tasks.storage.files import open_regular
from tasks.storage.json_text import is_number, parse_json

SCHEMA_VERSION = 1
MANIFEST = Path("assets.extra", "manifest.json")  # the one folder of a SavedModel that is free for extra files
CLAIM = MANIFEST.as_posix()
MOST_MANIFEST_BYTES = 4 << 20
MOST_FILES = 10_000
MOST_NAME_BYTES, MOST_PART_BYTES = 1024, 255  # what S3 takes, and what a file system takes between two slashes
MOST_PARTS = 32  # or a few names would have millions of folders
SAFE_PART = re.compile(r"(?!\.{1,2}$)[^/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]+")

CHECKSUM = "manifest_sha256"  # of the rest of it: a bit that flips on a disk is noticed

Files = Mapping[str, Mapping[str, int | str]]  # path in the version -> its size (bytes) and its SHA-256 (sha256)

_LINK = "{} is a link; its bytes belong to another place"

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
    """The first file that is missing or has another size than the manifest says; None if all are as they should be.

    Nothing outside the version is looked at, whatever the manifest names.
    """
    harmful, folders = _examine(tuple(manifest.files))
    if harmful:
        return harmful[0]
    for name in folders:
        if os.path.islink(f"{version_directory}/{name}"):  # noqa: PTH114 - a text: each run asks for each file
            return _LINK.format(name)
    found = (_find_flaw(f"{version_directory}/{name}", name, entry["bytes"]) for name, entry in manifest.files.items())
    return next(filter(None, found), None)


def _find_flaw(path: str, name: str, size: int | str) -> str | None:
    try:
        status = os.lstat(path)
    except OSError:
        return f"{name} is missing"
    if stat.S_ISLNK(status.st_mode):
        return _LINK.format(name)
    if not stat.S_ISREG(status.st_mode):
        return f"{name} is no file"
    return None if status.st_size == size else f"{name} has {status.st_size} bytes, its manifest says {size}"


def find_harmful_names(files: Files) -> tuple[str, ...]:
    """What is wrong with the names in a manifest, which may come from anywhere: they must not lead elsewhere."""
    return _examine(tuple(files))[0]


@lru_cache(maxsize=4)  # the versions of one model have the same names
def _examine(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is wrong with names, and the folders that they are in."""
    if len(names) > MOST_FILES:
        return (f"its manifest lists more than {MOST_FILES:,} files",), ()
    harmful, folders = [name for name in names if not _is_inside(name)], set[str]()
    if not harmful:
        folders = {folder for name in names for folder in map(str, PurePosixPath(name).parents)} - {"."}
        harmful = [name for name in names if name in folders or name == CLAIM]
    shown = [name if len(name) <= MOST_NAME_BYTES else f"{name[:MOST_PART_BYTES]}..." for name in harmful]
    told = (f"its manifest names the file {name!r}; allowed are relative names without '..'" for name in shown)
    return tuple(told), tuple(sorted(folders))


def made_with() -> dict[str, str]:
    """The installed versions of what a model is made with."""
    return {name: installed_version(name) for name in ("tensorflow", "mnist-versions")}


@lru_cache(maxsize=8)
def installed_version(package: str) -> str:
    """The version of an installed package, found without importing it (0.4 ms: once a process)."""
    return metadata.version(package)


def write_manifest(version_directory: Path, manifest: Manifest) -> None:
    """Write `manifest` into a version that is not yet published; keys of other sections stand beside the recipe's."""
    content = asdict(manifest)
    content.update({name: content["recipe"].pop(name) for name in OTHER_KEYS})
    content[CHECKSUM] = hashlib.sha256(_format(content)).hexdigest()
    path = version_directory / MANIFEST
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(_format(content))


def _format(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def read_manifest(version_directory: Path) -> Manifest | None:
    """The manifest of a version; None where there is none, or one of another schema."""
    try:
        return parse_manifest(read_text(version_directory))
    except OSError:
        return None


def read_text(version_directory: Path) -> bytes:
    """The bytes of a version's manifest; raises OSError, also for a link, and for more bytes than a manifest has."""
    with open_regular(version_directory / MANIFEST, follow=False) as stream:
        text = stream.read(MOST_MANIFEST_BYTES + 1)
    if len(text) > MOST_MANIFEST_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(version_directory / MANIFEST))
    return text


def parse_manifest(text: bytes) -> Manifest | None:
    """The manifest that a file's content is; None if it is none, or one of another schema."""
    try:
        content = parse_json(text)
        if CHECKSUM in content and content.pop(CHECKSUM) != _checksum_of_the_rest(text):  # earlier releases wrote none
            return None
        same_schema = content["schema_version"] == SCHEMA_VERSION
        content["recipe"] = {**content["recipe"], **{name: content.pop(name, None) for name in OTHER_KEYS}}
        manifest = Manifest(**content)
        usable = same_schema and _holds_what_it_should(manifest)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return manifest if usable else None


def _checksum_of_the_rest(text: bytes) -> str:
    """The SHA-256 of a manifest without the line that says it."""
    before, line, after = text.partition(f'\n  "{CHECKSUM}": '.encode())
    return hashlib.sha256(before + line[:1] + after.partition(b"\n")[2]).hexdigest()


def _is_entry(entry: Any) -> bool:
    """Whether it is what a manifest says of a file: its size and its SHA-256, and no more, such as a link."""
    if not isinstance(entry, dict) or set(entry) != {"bytes", "sha256"}:
        return False
    return type(entry["bytes"]) is int and entry["bytes"] >= 0 and isinstance(entry["sha256"], str)


def _is_inside(name: str) -> bool:
    """Whether a name leads to a place within the folder, on any file system and in any bucket."""
    parts = name.split("/", MOST_PARTS)
    if len(parts) > MOST_PARTS or not all(map(SAFE_PART.fullmatch, parts)):
        return False
    sizes = [len(os.fsencode(part)) for part in parts]
    return max(sizes) <= MOST_PART_BYTES and sum(sizes) + len(parts) <= MOST_NAME_BYTES


def _holds_what_it_should(manifest: Manifest) -> bool:
    """Whether each value is of the type that it is declared to be; may raise what comes of values of another."""
    texts = [*manifest.dataset_checksums.values(), *manifest.made_with.values()]
    accuracies = [entry["accuracy"] for entry in manifest.metrics.values()]
    return (
        type(manifest.model_version) is int
        and all(value is None or isinstance(value, str) or is_number(value) for value in manifest.recipe.values())
        and all(isinstance(text, str) for text in texts)
        and all(is_number(accuracy) and 0 <= accuracy <= 1 for accuracy in [*accuracies, manifest.validation_accuracy])
        and all(map(_is_entry, manifest.files.values()))
        and isinstance(manifest.signatures, dict)
    )
