"""Move a label in the order that the server can follow.

The server checks a label before it loads anything: a label that points at a version that is not available makes it
refuse the whole file, again at every poll. So the version is put on the policy first, then every server says that it
is available (or the stated time passes), and only then the label is moved: two writes of one file.
"""

import logging
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from tasks.errors import ReleaseRefused, RolloutFailed
from tasks.serving import policy
from tasks.serving.release_log import Move
from tasks.serving.rollout import Rollout
from tasks.serving.transaction import Edit, ServedModel
from tasks.versions.manifest import MANIFEST, read_manifest
from tasks.versions.tree import find_versions

logger = logging.getLogger(__name__)

ROLL_BACK = "RollBack"


def promote(served: ServedModel, label: str, version: int, rollout: Rollout, *, why: str) -> list[Move]:
    """Point a label at a version, as `_move_label` does it."""
    return _move_label(served, label, lambda _: version, rollout, why=why, task="PromoteVersion")


def roll_back(served: ServedModel, label: str, rollout: Rollout, *, why: str) -> list[Move]:
    """Point a label at what it pointed at before its last move, as `_move_label` does it."""

    def previous(edit: Edit) -> int:
        if is_rolled_back(served, label):
            return edit.labels[label]
        version = edit.previous(label)
        if version is None:
            raise ReleaseRefused(
                f"label {label!r} has pointed at nothing before, so there is nothing to roll back to; "
                "PromoteVersion points it at a version"
            )
        return version

    return _move_label(served, label, previous, rollout, why=why, task=ROLL_BACK)


def is_rolled_back(served: ServedModel, label: str) -> bool:
    """Whether the last move of a label was a roll-back: a second one would go further than was asked for."""
    moves = [move for move in served.history() if move.label == label]
    return bool(moves) and moves[-1].task == ROLL_BACK and moves[-1].after == served.labels().get(label)


def check_fit(served: ServedModel, version: int) -> None:
    """Make sure that a version is there, was made by this pipeline and may be loaded; raises ReleaseRefused."""
    path, published = served.base_path / str(version), find_versions(served.base_path)
    if version not in published:
        there = ", ".join(map(str, published)) or "none"
        raise ReleaseRefused(f"version {version} does not exist in {served.base_path}; published are {there}")
    if read_manifest(path) is None:
        raise ReleaseRefused(f"{path} was not made by this pipeline: no readable {MANIFEST.as_posix()} in it")
    if why := served.why_unfit(version):
        raise ReleaseRefused(why)


def _move_label(
    served: ServedModel, label: str, choose: Callable[[Edit], int], rollout: Rollout, *, why: str, task: str
) -> list[Move]:
    """Move a label in two phases; gives the move, or nothing where the label pointed there already.

    Raises:
        ReleaseRefused: there is nowhere to move it, or somebody else moved it meanwhile.
        RolloutFailed: a server does not answer, or does not get the version to work. The policy is as before.
    """
    with served.edit() as edit:
        version, known = choose(edit), edit.count_moves(label)
        _warn_of_stale_labels(edit, label)
    check_fit(served, version)
    rollout.check_answers()
    give_up = time.monotonic() + rollout.timeout_seconds
    former = widened = None
    try:
        while True:
            with served.edit() as edit:
                former = deepcopy(edit.model)
                edit.load(edit.loaded() | edit.wanted() | {version})
                edit.publish()
                widened = edit.model
            rollout.wait_for(version, listed_since=_listed_since(served, version))
            with served.edit() as edit:
                if task == ROLL_BACK and edit.count_moves(label) != known:
                    if is_rolled_back(served, label):
                        return []  # by somebody who was asked to do the same
                    now = edit.labels.get(label)
                    raise ReleaseRefused(f"label {label!r} was moved to {now} meanwhile; look at {served.log.path}")
                if version not in edit.versions:
                    gone = served.base_path / str(version)
                    raise ReleaseRefused(f"{gone} has gone meanwhile; label {label!r} stays where it is")
                if version in edit.loaded():
                    return _point(edit, label, version, task=task, why=why)
            if time.monotonic() > give_up:  # else once more: another promotion has taken the version off the policy
                raise RolloutFailed(f"version {version} is taken off the policy by others, again and again; given up")
    except BaseException:
        if widened is not None:
            _put_back(served, version, former, widened)
        raise


def _point(edit: Edit, label: str, version: int, *, task: str, why: str) -> list[Move]:
    """The second phase, under the lock: the label, and a policy without what is no longer needed."""
    before = edit.labels.get(label)
    edit.model.version_labels[label] = version
    edit.load(edit.wanted())
    moves = [edit.move(label, before, version, task=task, why=why)] if before != version else []
    edit.publish(moves)
    for move in moves:
        moved = f"set to {version}" if move.before is None else f"from version {move.before} to {version}"
        logger.debug("Label %s of %s: %s", label, edit.served.name, moved)
    return moves


def _put_back(served: ServedModel, version: int, former: Any, widened: Any) -> None:
    """Let the model's entry be what it was; if others have changed it since, only take the version off the policy."""
    with served.edit() as edit:
        was_loaded = policy.loaded_versions(former.model_version_policy, edit.versions)
        if edit.model == widened:
            edit.model.CopyFrom(former)
        elif version not in edit.wanted() | was_loaded:
            edit.load(edit.loaded() - {version})
        edit.publish()


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
                edit.served.config_path,
                label,
                version,
            )
