"""Take a bad version back at once: its folder `5` is called `5.denied`, and no server sees it any more."""

import logging
import os
from pathlib import Path

from tasks.errors import ReleaseRefused, StorageFailed
from tasks.serving.transaction import Edit, ServedModel
from tasks.storage import publishing
from tasks.storage.disk_errors import check_writable
from tasks.versions.tree import QUARANTINED

logger = logging.getLogger(__name__)


def is_quarantined(base_path: Path, version: int) -> bool:
    """Whether a version was taken back, be it a folder, a link or a file that the server took for one."""
    return os.path.lexists(_denied(base_path, version)) and not os.path.lexists(base_path / str(version))


def is_done(served: ServedModel, version: int) -> bool:
    """Whether a version is taken back, and neither a label nor the policy names it any more."""
    if not is_quarantined(served.base_path, version):
        return False
    state = served.look()
    return version not in state.labels.values() and version not in state.loaded()


def quarantine(served: ServedModel, version: int, *, force: bool, why: str) -> None:
    """Rename a version's folder, which the servers notice at their next poll, then take it out of the config file.

    Raises:
        ReleaseRefused: it does not exist, or a label points at it and `force` was not given.
        StorageFailed: it cannot be renamed; nothing was changed.
    """
    path, target = served.base_path / str(version), _denied(served.base_path, version)
    fit = served.find_fit(gone=[version])
    with served.edit() as edit:
        is_renamed = is_quarantined(served.base_path, version)
        if not is_renamed:
            _check_movable(edit, path, target)
        holders = [label for label, pointed in edit.labels.items() if pointed == version]
        if holders and not force:
            raise ReleaseRefused(
                f"label {', '.join(holders)} points at version {version}: move it first (RollBack --label "
                f"{holders[0]}), or give --force, which leaves whoever asks for the label without an answer"
            )
        for label in holders:
            del edit.model.version_labels[label]
        edit.drop([version], fit)
        names = holders if is_renamed else [None, *holders]
        moves = [edit.move(label, version, None, task="QuarantineVersion", why=why) for label in names]
        size = served.log.size()
        try:
            edit.publish(moves, first=lambda: None if is_renamed else _rename(path, target))
        except BaseException:
            if not is_renamed and os.path.lexists(target) and not os.path.lexists(path):
                target.rename(path)
                served.log.cut_off(size)  # the folder's line too, which its new time would speak for
            raise
    without = f"; label {', '.join(holders)} is removed" if holders else ""
    logger.debug("Version %d of %s is taken back: %s%s", version, edit.name, target, without)


def _check_movable(edit: Edit, path: Path, target: Path) -> None:
    if not os.path.lexists(path):
        published = ", ".join(map(str, edit.versions)) or "none"
        raise ReleaseRefused(f"{path} does not exist; published are {published}")
    if os.path.lexists(target):
        raise ReleaseRefused(f"{target} is there already; move it away first")
    check_writable(path.parent)


def _rename(path: Path, target: Path) -> None:
    try:
        path.rename(target)
        publishing.flush(path.parent)
    except OSError as error:
        raise StorageFailed(f"{path}: cannot be renamed: {error.strerror}; no label was moved") from error


def _denied(base_path: Path, version: int) -> Path:
    """What a quarantined version is called."""
    return base_path / f"{version}{QUARANTINED}"
