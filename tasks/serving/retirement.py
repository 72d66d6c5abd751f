"""Take old versions out of the tree when they are no longer needed.

A version leaves the policy first, then its folder gets a name that the server does not take for a version, and only
then it is removed: the server never sees half of one.
"""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from tasks.errors import ReleaseRefused
from tasks.serving.promotion import check_fit
from tasks.serving.transaction import ServedModel
from tasks.storage import publishing
from tasks.storage.disk_errors import check_writable, explain_os_errors
from tasks.versions.signing import signature_path
from tasks.versions.tree import find_versions

MIB = 1 << 20


def retire(served: ServedModel, keep: int, *, apply: bool, why: str) -> list[str]:
    """Remove old versions, or only say which; gives a line for each and one for all.

    The newest `keep` stay, what a label points at or would be rolled back to, what is kept loaded without a label, and
    the newest that passes its checks.

    Raises:
        ReleaseRefused: there are no versions, or none that passes its checks.
        StorageFailed: they cannot be removed.
    """
    base_path = served.base_path
    if not find_versions(base_path):
        raise ReleaseRefused(f"{base_path}: there are no versions")
    good, fit = _newest_good(served), served.find_fit()  # before the lock: it takes seconds
    with served.edit() as edit:
        needed = {good, *edit.versions[-keep:], *edit.came_from()}
        if not edit.is_new:  # of a model that is served
            needed |= edit.wanted(fit)
        going = [version for version in edit.versions if version not in needed]
        if going and good not in edit.versions:
            raise ReleaseRefused(f"{base_path}: no version there passes its checks, so none is removed")
        sizes = [_size(base_path / str(version)) for version in going]
        if apply:
            check_writable(base_path)
            publishing.sweep(base_path)  # what a removal that was killed left
        if apply and going:
            edit.drop(going, fit)
            edit.publish([edit.move(None, version, None, task="RetireVersions", why=why) for version in going])
            _remove(base_path, going)
        kept = [version for version in edit.versions if version not in going]
    done = "removed" if apply else "would be removed (do it with --apply)"
    lines = [f"{base_path / str(version)}: {size / MIB:.1f} MiB" for version, size in zip(going, sizes, strict=True)]
    stay = f"{', '.join(map(str, kept)) or 'none'} {'stays' if len(kept) == 1 else 'stay'}"
    count = f"{len(going)} version{'' if len(going) == 1 else 's'}"
    return [*lines, f"{count}, {sum(sizes) / MIB:.1f} MiB {done}; {stay}"]


def _newest_good(served: ServedModel) -> int | None:
    for version in reversed(find_versions(served.base_path)):
        with contextlib.suppress(ReleaseRefused):
            check_fit(served, version)
            return version
    return None


def _remove(base_path: Path, versions: Iterable[int]) -> None:
    with explain_os_errors(base_path):
        for version in versions:
            signature_path(base_path / str(version)).unlink(missing_ok=True)  # first, so that none is left alone
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
