"""Take versions out of the tree: a bad one at once, old ones when they are no longer needed.

A version leaves the policy first, then its folder gets a name that the server does not take for a version, and only
then it is removed: the server never sees half of one.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from tasks.errors import ReleaseRefused, StorageFailed
from tasks.serving.transaction import Edit, ServedModel
from tasks.serving.waiting import awaited_versions
from tasks.storage import disk_errors, publishing
from tasks.versions.tree import QUARANTINED, find_versions

logger = logging.getLogger(__name__)

MIB = 1 << 20


def denied(base_path: Path, version: int) -> Path:
    """What a quarantined version is called."""
    return base_path / f"{version}{QUARANTINED}"


def is_quarantined(base_path: Path, version: int) -> bool:
    """Whether a version was taken back, be it a folder, a link or a file that the server took for one."""
    return os.path.lexists(denied(base_path, version)) and not os.path.lexists(base_path / str(version))


def quarantine(served: ServedModel, version: int, *, force: bool, why: str) -> None:
    """Rename `5` to `5.denied`; the server unloads it at its next poll.

    Raises:
        ReleaseRefused: it does not exist, or a label points at it and `force` was not given.
        StorageFailed: it cannot be renamed; the config file is as before.
    """
    path, target = served.base_path / str(version), denied(served.base_path, version)
    with served.edit() as edit:
        if is_quarantined(served.base_path, version):
            return
        if not os.path.lexists(path):
            raise ReleaseRefused(f"{path} does not exist; published are {format_list(edit.versions)}")
        if os.path.lexists(target):
            raise ReleaseRefused(f"{target} is there already; move it away first")
        holders = [label for label, pointed in edit.labels.items() if pointed == version]
        if holders and not force:
            raise ReleaseRefused(
                f"label {format_list(holders)} points at version {version}: move it first (RollBack --label "
                f"{holders[0]}), or give --force, which leaves whoever asks for the label without an answer"
            )
        _refuse_closed(served.base_path)
        for label in holders:
            edit.point(label, None)
        edit.drop([version])
        moves = [edit.move(label, version, None, task="QuarantineVersion", why=why) for label in [*holders, None]]
        with disk_errors.explain_os_errors(path):
            edit.publish(moves, then=lambda: _rename(edit, path, target))
    without = f"; label {format_list(holders)} is removed" if holders else ""
    logger.info("Version %d of %s is taken back: %s%s", version, served.name, target, without)


def removable(edit: Edit, keep: int) -> list[int]:
    """The versions that may go if the newest `keep` stay: no label points at them, would, or is about to."""
    served = edit.served
    needed = {
        *edit.versions[-keep:],
        *edit.labels.values(),
        *(edit.previous(label) for label in edit.labels),  # or there is nothing to roll back to
        *awaited_versions(served.config_path.parent, served.base_path),
    }
    return [version for version in edit.versions if version not in needed]


def retire(served: ServedModel, keep: int, *, is_good: Callable[[Path, int], bool], apply: bool, why: str) -> list[str]:
    """Remove old versions; with `apply` false, only say which. Returns a line for each and one for all.

    Raises:
        ReleaseRefused: no version is known to be good, so that none can be spared.
        StorageFailed: they cannot be removed.
    """
    base_path = served.base_path
    if not find_versions(base_path):
        raise ReleaseRefused(f"{base_path}: there are no versions")
    good = next((version for version in reversed(find_versions(base_path)) if is_good(base_path, version)), None)
    with served.edit() as edit:
        going = [version for version in removable(edit, keep) if version != good]
        if going and good not in edit.versions:
            raise ReleaseRefused(f"{base_path}: no version there passes its checks, so none is removed")
        sizes = [_size(base_path / str(version)) for version in going]
        if apply:
            _refuse_closed(base_path)
            publishing.sweep(base_path)  # what a removal that was killed left
        if apply and going:
            edit.drop(going)
            moves = [edit.move(None, version, None, task="RetireVersions", why=why) for version in going]
            with disk_errors.explain_os_errors(base_path):
                edit.publish(moves, then=lambda: _remove(base_path, going))
    done = "removed" if apply else "would be removed (do it with --apply)"
    lines = [f"{base_path / str(version)}: {size / MIB:.1f} MiB" for version, size in zip(going, sizes, strict=True)]
    kept = [version for version in edit.versions if version not in going]
    stay = f"{format_list(kept)} {'stays' if len(kept) == 1 else 'stay'}"
    count = f"{len(going)} version{'' if len(going) == 1 else 's'}"
    return [*lines, f"{count}, {sum(sizes) / MIB:.1f} MiB {done}; {stay}"]


def format_list(values: Iterable[object]) -> str:
    """Join with commas; `none` for nothing."""
    return ", ".join(map(str, values)) or "none"


def _refuse_closed(base_path: Path) -> None:
    """Do nothing if this user may rename versions; raises StorageFailed before anything is changed."""
    obstacle = disk_errors.obstacle(base_path)
    if obstacle:
        raise StorageFailed(obstacle)


def _rename(edit: Edit, path: Path, target: Path) -> None:
    """Rename a version that has left the config file; where that fails, the file is put back."""
    try:
        path.rename(target)
    except OSError as error:
        edit.restore(edit.content)
        raise StorageFailed(f"{path}: cannot be renamed: {error.strerror}; no label was moved") from error
    publishing.flush(path.parent)


def _remove(base_path: Path, versions: Iterable[int]) -> None:
    for version in versions:
        if os.path.lexists(base_path / str(version)):  # or somebody has removed it meanwhile
            publishing.take_away(base_path / str(version))
    publishing.flush(base_path)


def _size(directory: Path) -> int:
    """The bytes that go with a version: none behind a link, and none of what somebody removes meanwhile."""
    size = 0
    for root, _, files in [] if directory.is_symlink() else os.walk(directory):
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                size += Path(root, name).lstat().st_size
    return size
