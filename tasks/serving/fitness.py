"""Whether a version may be served: it is there, this pipeline made it under that number, and it passes verification."""

from __future__ import annotations

from pathlib import Path

from tasks.exceptions import ReleaseRefused
from tasks.serving.manifest import MANIFEST, read_manifest
from tasks.serving.tree_lint import ERROR, find_versions


def refuse_foreign(base_path: Path, version: int) -> None:
    """Do nothing if a version is there and was made by this pipeline; needs no TensorFlow.

    Raises:
        ReleaseRefused: it does not exist, or in its place is something else.
    """
    published = find_versions(base_path)
    if version not in published:
        there = ", ".join(map(str, published)) or "none"
        raise ReleaseRefused(f"version {version} does not exist in {base_path}; published are {there}")
    if read_manifest(base_path / str(version)) is None:
        raise ReleaseRefused(
            f"{base_path / str(version)} was not made by this pipeline: no readable {MANIFEST.as_posix()} in it"
        )


def refuse_unfit(base_path: Path, version: int) -> None:
    """Do nothing if a version passes verification; raises ReleaseRefused."""
    from tasks.serving.verification import verify_version

    verified = verify_version(base_path / str(version))
    errors = [fault.message for fault in verified.faults if fault.severity == ERROR]
    if errors:
        raise ReleaseRefused(f"{base_path / str(version)} fails verification: {'; '.join(errors)}")
