"""Versions that were made elsewhere and are served all the same.

They carry no manifest, so nobody could tell whether they were changed since. The checksums of one that is promoted are
kept in `foreign.json` beside the servers' config file, and it is held against them from then on. A promotion that is
killed may leave checksums of a version that no label points at: those that it was asked to allow.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.errors import InvalidReleaseLog, ReleaseRefused
from tasks.serving.transaction import ServedModel
from tasks.storage import checksums, publishing
from tasks.storage.files import read_regular
from tasks.storage.json_text import parse_json
from tasks.versions.manifest import MANIFEST, Files, read_manifest


def record_path(config_path: Path) -> Path:
    """Where the checksums are kept, for all config files of a folder."""
    return config_path.parent / "foreign.json"


def read_records(config_path: Path, base_path: Path) -> dict[int, Files]:
    """Version -> its files when it was promoted, of the versions in a base path; raises InvalidReleaseLog."""
    return {int(version): files for version, files in _read(record_path(config_path)).get(_key(base_path), {}).items()}


def promoted_files(config_path: Path, base_path: Path, version: int) -> Files | None:
    """The files that a version had when it was promoted; None for one that has a manifest, or was not promoted."""
    if read_manifest(base_path / str(version)) is not None:
        return None  # and a record that cannot be read is no matter of those
    return read_records(config_path, base_path).get(version)


def admit(served: ServedModel, version: int, *, is_allowed: bool) -> Callable[[], None]:
    """Take the checksums of a version that was made elsewhere; nothing is written before what is returned is called.

    That is to be done under the lock of the config file, right before a label is pointed at the version. Where it has
    a manifest, or its checksums are on record, there is nothing to do.

    Raises:
        ReleaseRefused: it was made elsewhere, was not promoted before, and `is_allowed` was not given.
    """
    directory = served.base_path / str(version)
    if not directory.is_dir() or read_manifest(directory) is not None:
        return lambda: None  # one that is not there is told by others
    if version in read_records(served.config_path, served.base_path):
        return lambda: None
    if not is_allowed:
        raise ReleaseRefused(
            f"{directory} was not made by this pipeline: no readable {MANIFEST.as_posix()} in it; "
            "--allow-foreign takes its checksums now, and promotes it"
        )
    files = checksums.list_files(directory)
    if links := [name for name, entry in files.items() if "link" in entry]:
        raise ReleaseRefused(f"{directory}: {links[0]} is a link; its bytes belong to another place")
    return lambda: _record(served, version, files)


def _record(served: ServedModel, version: int, files: Files) -> None:
    path = record_path(served.config_path)
    records = _read(path)
    records.setdefault(_key(served.base_path), {})[str(version)] = files
    publishing.publish_file(path, (json.dumps(records, indent=2, sort_keys=True) + "\n").encode())


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        content = parse_json(read_regular(path))
        for version, files in (entry for versions in content.values() for entry in versions.items()):
            if not int(version) or not files:
                raise ValueError("a version without files")
            if any(type(entry["bytes"]) is not int or not isinstance(entry["sha256"], str) for entry in files.values()):
                raise ValueError(f"files of version {version} without their sizes and checksums")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise InvalidReleaseLog(f"{path}: not a record of versions made elsewhere ({error}); put it aside") from error
    return dict(content)


def _key(base_path: Path) -> str:
    return str(base_path.resolve())
