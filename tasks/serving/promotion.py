"""Move a label in the order that the server can follow.

The server checks a label before it loads anything: a label that points at a version that is not available makes it
refuse the whole file, again at every poll. So the version is put on the policy first, then every server says that it
is available (or the stated time passes), and only then the label is moved.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from tasks.errors import ReleaseRefused
from tasks.serving.release_log import Move
from tasks.serving.rollout import Rollout
from tasks.serving.transaction import Edit, ServedModel
from tasks.serving.verdicts import Check
from tasks.serving.waiting import waiting_for

logger = logging.getLogger(__name__)

ROLL_BACK = "RollBack"


def promote(served: ServedModel, label: str, version: int, rollout: Rollout, *, check: Check, why: str) -> list[Move]:
    """Point a label at a version; see `_move_label` for the arguments and what it raises."""
    return _move_label(served, label, lambda _: version, rollout, check=check, why=why, task="PromoteVersion")


def roll_back(served: ServedModel, label: str, rollout: Rollout, *, check: Check, why: str) -> list[Move]:
    """Point a label at what it pointed at before its last move; see `_move_label`."""

    def previous(edit: Edit) -> int:
        moves = edit.label_history(label)
        if is_rolled_back(served, label, edit):
            return int(moves[-1].after or 0)
        if edit.previous(label) is None:
            raise ReleaseRefused(
                f"label {label!r} has pointed at nothing before, so there is nothing to roll back to; "
                "PromoteVersion points it at a version"
            )
        return int(edit.previous(label) or 0)

    return _move_label(served, label, previous, rollout, check=check, why=why, task=ROLL_BACK)


def is_rolled_back(served: ServedModel, label: str, edit: Edit | None = None) -> bool:
    """Whether the last move of a label was a roll-back: a second one would go further than was asked for."""
    history, now = (edit.history, edit.found_labels) if edit else (served.history(), served.labels())
    moves = [move for move in history if move.label == label]
    return bool(moves) and moves[-1].task == ROLL_BACK and moves[-1].after == now.get(label)


def _move_label(
    served: ServedModel,
    label: str,
    choose: Callable[[Edit], int],
    rollout: Rollout,
    *,
    check: Check,
    why: str,
    task: str,
) -> list[Move]:
    """Move a label in two phases; returns the move, or nothing where it pointed there already.

    Args:
        served: the model and its config file.
        label: which one.
        choose: where to, from what the config file and the log say.
        rollout: the servers to wait for.
        check: raises if a version must not be served.
        why: for the log.
        task: for the log.

    Raises:
        ReleaseRefused: there is nowhere to move it, or somebody else moved it meanwhile.
        RolloutFailed: a server does not answer, or does not get the version to work. The config file is as before.
    """
    with served.edit() as edit:
        version = choose(edit)
        _warn_of_stale_labels(edit, label)
    check(served.base_path, version)
    rollout.refuse_silence()
    folder = served.config_path.parent
    with waiting_for(folder, served.base_path, version):
        with served.edit() as edit:
            former = edit.content
            edit.load(edit.loaded() | edit.wanted())
            written = edit.publish()
        try:
            rollout.wait_for(version, listed_since=_listed_since(served, version))
            with served.edit() as edit:
                moves = _point(edit, label, version, choose, task=task, why=why)
        except BaseException:
            with served.edit() as edit:
                if edit.content == written != former:
                    edit.restore(former)
            raise
    for move in moves:
        moved = f"set to {version}" if move.before is None else f"from version {move.before} to {version}"
        logger.info("Label %s of %s: %s", label, served.name, moved)
    return moves


def _listed_since(served: ServedModel, version: int) -> float:
    """When the servers could first see a version: both the config file that lists it and its folder were there."""
    folder = served.base_path / str(version)
    changed = folder.stat().st_ctime if folder.exists() else 0.0  # of the rename that published it
    return max(served.config_path.stat().st_mtime, changed)


def _warn_of_stale_labels(edit: Edit, moving: str) -> None:
    """Name labels whose version is gone: they are no reason to keep another label from being rolled back."""
    for label, version in edit.labels.items():
        if label != moving and version not in edit.versions:
            logger.warning(
                "%s: label %s points at version %d, which is gone; a server without "
                "--allow_version_labels_for_unavailable_models refuses the whole file until that label is moved",
                edit.path,
                label,
                version,
            )


def _point(edit: Edit, label: str, version: int, choose: Callable[[Edit], int], *, task: str, why: str) -> list[Move]:
    """The second phase, under the lock: the label, and a policy without what is no longer needed."""
    path = edit.served.base_path / str(version)
    before = edit.labels.get(label)
    if choose(edit) != version:
        raise ReleaseRefused(f"label {label!r} was moved to {before} meanwhile; look at {edit.served.log.path}")
    if version not in edit.versions:
        raise ReleaseRefused(f"{path} has gone meanwhile; label {label!r} stays where it is")
    edit.point(label, version)
    edit.load(edit.wanted())
    moves = [edit.move(label, before, version, task=task, why=why)] if before != version else []
    edit.publish(moves)
    return moves
