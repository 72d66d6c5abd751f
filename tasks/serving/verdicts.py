"""Whether a version may be served: it is there, this pipeline made it under that number, and it passes verification."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from tasks.errors import ReleaseRefused
from tasks.versions.manifest import MANIFEST, read_manifest
from tasks.versions.tree import ERROR, find_versions

logger = logging.getLogger(__name__)

Check = Callable[[Path, int], None]  # of a base path and a version: raises ReleaseRefused


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
    from tasks.savedmodel.verification import verify_version

    verified = verify_version(base_path / str(version))
    errors = [fault.message for fault in verified.faults if fault.severity == ERROR]
    if errors:
        raise ReleaseRefused(f"{base_path / str(version)} fails verification: {'; '.join(errors)}")


class FitVersions:
    """The versions of a tree that pass a check; checked once each, and named in the log if they do not."""

    def __init__(self, base_path: Path, check: Check) -> None:
        self._base_path = base_path
        self._check = check
        self._verdicts: dict[int, bool] = {}

    def newest(self, versions: Sequence[int], count: int) -> list[int]:
        """The newest `count` of `versions` (oldest first) that pass; older ones take the place of those that do not."""
        return list(islice(filter(self._passes, reversed(versions)), count))

    def _passes(self, version: int) -> bool:
        if version not in self._verdicts:
            try:
                self._check(self._base_path, version)
            except ReleaseRefused as error:
                logger.warning("Version %d is not put on the policy for being new: %s", version, error)
                self._verdicts[version] = False
            else:
                self._verdicts[version] = True
        return self._verdicts[version]
