"""Whether bytes are still what they were: SHA-256 of files and folders."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

CHECKSUMS = "checksums.json"


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as 64 lower-case hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def list_files(directory: Path) -> dict[str, dict[str, int | str]]:
    """Every file below `directory`: its path with '/' -> {'bytes': size, 'sha256': digest}, sorted by path."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {
        path.relative_to(directory).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in files
    }


def seal(directory: Path) -> None:
    """Add `checksums.json`, which lets `is_intact` tell whether anything changed since."""
    (directory / CHECKSUMS).write_text(json.dumps(list_files(directory), indent=1) + "\n", encoding="utf-8")


def is_intact(directory: Path, *, contents: bool = True) -> bool:
    """Whether a sealed folder still holds what was sealed; without `contents`, sizes alone are compared."""
    try:
        recorded = json.loads((directory / CHECKSUMS).read_text(encoding="utf-8"))
        return all(
            (directory / name).stat().st_size == entry["bytes"]
            and (not contents or sha256(directory / name) == entry["sha256"])
            for name, entry in recorded.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
