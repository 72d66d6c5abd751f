"""Whether a version may be served: what is there is what was exported."""

from __future__ import annotations

from pathlib import Path

from tasks import storage
from tasks.exceptions import ReleaseRefused
from tasks.serving.manifest import MANIFEST, read_manifest
from tasks.serving.version_tree import find_versions

ESSENTIAL = ("saved_model.pb", "variables/variables.index")  # the server loads without the second, then fails


def refuse_unfit(base_path: Path, version: int) -> None:
    """Do nothing if a version may be served.

    Raises:
        ReleaseRefused: it does not exist, was not made by this pipeline or for another number, or is damaged.
    """
    path = base_path / str(version)
    if not path.is_dir():
        there = ", ".join(map(str, find_versions(base_path))) or "none"
        raise ReleaseRefused(f"version {version} does not exist in {base_path}; published are {there}")
    manifest = read_manifest(path)
    if manifest is None:
        raise ReleaseRefused(f"{path} was not made by this pipeline: no readable {MANIFEST.as_posix()} in it")
    if manifest.model_version != version:
        raise ReleaseRefused(f"{path} holds what was exported as version {manifest.model_version}")
    files = storage.list_files(path)
    files.pop(MANIFEST.as_posix(), None)
    wrong = sorted(
        name for name in {*files, *manifest.files, *ESSENTIAL} if files.get(name) != manifest.files.get(name)
    )
    wrong += [name for name in ESSENTIAL if name not in files and name not in wrong]
    if wrong:
        raise ReleaseRefused(f"{path} is not what was exported: {', '.join(wrong)} is missing, added or changed")


def is_fit(base_path: Path, version: int) -> bool:
    """Whether a version may be served."""
    try:
        refuse_unfit(base_path, version)
    except (ReleaseRefused, OSError):
        return False
    return True
