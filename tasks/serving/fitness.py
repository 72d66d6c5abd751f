"""Whether a version may be served: it is there, this pipeline made it under that number, and it passes verification."""

from __future__ import annotations

from pathlib import Path

from tasks.exceptions import ReleaseRefused
from tasks.serving.manifest import MANIFEST
from tasks.serving.tree_lint import ERROR, find_versions
from tasks.serving.verification import verify_version


def refuse_unfit(base_path: Path, version: int) -> None:
    """Do nothing if a version may be served.

    Raises:
        ReleaseRefused: it does not exist, was not made by this pipeline, or fails verification.
    """
    path = base_path / str(version)
    published = find_versions(base_path)
    if version not in published:
        there = ", ".join(map(str, published)) or "none"
        raise ReleaseRefused(f"version {version} does not exist in {base_path}; published are {there}")
    verified = verify_version(path)
    errors = [fault.message for fault in verified.faults if fault.severity == ERROR]
    if errors:
        raise ReleaseRefused(f"{path} fails verification: {'; '.join(errors)}")
    if verified.manifest is None:
        raise ReleaseRefused(f"{path} was not made by this pipeline: there is no {MANIFEST.as_posix()} in it")


def is_fit(base_path: Path, version: int) -> bool:
    """Whether a version may be served."""
    try:
        refuse_unfit(base_path, version)
    except ReleaseRefused:
        return False
    return True
