"""Move a label in the order that the server can follow.

The server checks a label before it loads anything: a label that points at a version that is not available makes it
refuse the whole file, again at every poll (--allow_version_labels_for_unavailable_models excuses a label that is new,
not one that moves). So the version is put on the policy first, alone, then every server says that it is available (or
the stated time passes), and only then the label is moved: two writes of one file.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from tasks.errors import ReleaseRefused, RolloutFailed
from tasks.serving import policy
from tasks.serving.release_log import Move
from tasks.serving.rollout import Rollout, Seen
from tasks.serving.transaction import Edit, ServedModel
from tasks.serving.unlabelled import loaded_now, loaded_then, tell_newest
from tasks.versions.tree import find_versions

logger = logging.getLogger(__name__)

ROLL_BACK = "RollBack"
UNLABELLED = "Requests that name neither label nor version"


def promote(
    served: ServedModel,
    label: str,
    version: int,
    rollout: Rollout,
    *,
    why: str,
    first: Callable[[], None] = lambda: None,
) -> list[Move]:
    """Point a label at a version, as `_move_label` does it; afterwards the newest versions are loaded, too.

    `first` is done right before the label is moved, under the lock.
    """
    return _move_label(served, label, lambda _: version, rollout, why=why, task="PromoteVersion", first=first)


def roll_back(served: ServedModel, label: str, rollout: Rollout, *, why: str) -> list[Move]:
    """Point a label at what it pointed at before its last move, as `_move_label` does it; nothing else changes."""

    def previous(edit: Edit) -> int:
        if is_rolled_back(edit, label):
            return edit.labels[label]
        version = edit.previous(label)
        if version is None:
            raise ReleaseRefused(
                f"label {label!r} has pointed at nothing before, so there is nothing to roll back to; "
                "PromoteVersion points it at a version"
            )
        return version

    return _move_label(served, label, previous, rollout, why=why, task=ROLL_BACK)


def is_rolled_back(state: Edit, label: str) -> bool:
    """Whether the last move of a label was a roll-back: a second one would go further than was asked for."""
    moves = state.moves_of(label)
    return bool(moves) and moves[-1].task == ROLL_BACK and moves[-1].after == state.labels.get(label)


def remove_label(served: ServedModel, label: str, rollout: Rollout, *, why: str) -> list[Move]:
    """Take a label away, and what was loaded for it alone off the policy; gives the move, or nothing.

    Raises:
        RolloutFailed: a server that is to be sent the config file does not answer (nothing is changed), or refuses it.
    """
    rollout.look()
    with served.edit() as edit:
        version = edit.labels.get(label)
        moves = []
        if version is not None:
            moves = [edit.move(label, version, None, task="RemoveLabel", why=why)]
            del edit.model.version_labels[label]
            edit.history += moves
            if edit.policy.WhichOneof("policy_choice") == "specific":
                edit.load(edit.wanted(fit=edit.loaded()) or edit.loaded())
            edit.publish(moves)
            logger.info("Label %s of %s, which pointed at version %d, is removed", label, edit.name, version)
    rollout.send(served.config_path)
    return moves


def check_fit(served: ServedModel, version: int) -> None:
    """Make sure that a version is there and may be loaded; raises ReleaseRefused."""
    published = find_versions(served.base_path)
    if version not in published:
        there = ", ".join(map(str, published)) or "none"
        raise ReleaseRefused(f"version {version} does not exist in {served.base_path}; published are {there}")
    if why := served.why_unfit(version):
        raise ReleaseRefused(why)


def _move_label(
    served: ServedModel,
    label: str,
    choose: Callable[[Edit], int],
    rollout: Rollout,
    *,
    why: str,
    task: str,
    first: Callable[[], None] = lambda: None,
) -> list[Move]:
    """Move a label in two phases; gives the move, or nothing where the label pointed there already.

    The policy gets the version, and nothing else before the label moves. With the label a promotion lists what is kept
    loaded, and drops the rest; a roll-back leaves the policy at that.

    Raises:
        ReleaseRefused: there is nowhere to move it, or somebody else moved it meanwhile.
        RolloutFailed: a server does not answer, or does not get the version to work. The policy is as before.
    """
    with served.edit() as edit:
        version, known, listed = choose(edit), len(edit.moves_of(label)), edit.loaded()
        _warn_of_stale_labels(edit, label)
    check_fit(served, version)  # without the lock, as it takes seconds
    fit = None if task == ROLL_BACK else served.find_fit()
    rollout, seen = rollout.look()
    loaded = loaded_now(seen, listed)
    newest = tell_newest(loaded, listed)
    logger.info("%s are answered by %s", UNLABELLED, newest)
    _let_go(served, version, rollout, seen)
    give_up = time.monotonic() + rollout.timeout_seconds
    former = widened = None
    try:
        while True:
            with served.edit() as edit:
                former = deepcopy(edit.model)
                edit.load(edit.loaded() | {version})
                edit.publish()
                widened = edit.model
            rollout.send(served.config_path)
            rollout.wait_for(version, listed_since=_listed_since(served, version), seen=seen)
            with served.edit() as edit:
                now = edit.labels.get(label)
                if len(edit.moves_of(label)) != known:
                    if now == version:
                        return []  # by somebody who was asked to do the same
                    raise ReleaseRefused(f"label {label!r} was moved to {now} meanwhile; look at {served.log.path}")
                if version not in edit.versions:
                    gone = served.base_path / str(version)
                    raise ReleaseRefused(f"{gone} has gone meanwhile; label {label!r} stays where it is")
                if version in edit.loaded():
                    moves = _point(edit, label, version, fit=fit, task=task, why=why, first=first)
                    break
            if time.monotonic() > give_up:  # else once more: another promotion has taken the version off the policy
                raise RolloutFailed(f"version {version} is taken off the policy by others, again and again; given up")
    except BaseException:
        if widened is not None:
            _put_back(served, version, former, widened, rollout)
        raise
    try:
        rollout.send(served.config_path)
    except RolloutFailed as error:
        raise RolloutFailed(f"label {label!r} points at {version} in the config file, but {error}") from error
    listed = edit.loaded()
    then = tell_newest(loaded_then(loaded, version, listed), listed)
    logger.info("%s are %s answered by %s", UNLABELLED, "still" if then == newest else "now", then)
    return moves


def _point(
    edit: Edit, label: str, version: int, *, fit: set[int] | None, task: str, why: str, first: Callable[[], None]
) -> list[Move]:
    """The second phase, under the lock: the label, and a policy without what is no longer needed."""
    before = edit.labels.get(label)
    edit.model.version_labels[label] = version
    moves = [edit.move(label, before, version, task=task, why=why)] if before != version else []
    edit.history += moves
    listed = edit.loaded()
    if fit is not None:
        edit.load(edit.wanted(fit))
    edit.publish(moves, first=first)
    if dropped := sorted(listed - edit.loaded()):  # an earlier promotion that was killed may have listed some of them
        logger.info("No longer loaded, as no label needs them: %s", ", ".join(map(str, dropped)))
    for move in moves:
        moved = f"set to {version}" if move.before is None else f"from version {move.before} to {version}"
        logger.debug("Label %s of %s: %s", label, edit.name, moved)
    return moves


def _put_back(served: ServedModel, version: int, former: Any, widened: Any, rollout: Rollout) -> None:
    """Let the model's entry be what it was; if others have changed it since, only take the version off the policy."""
    with served.edit() as edit:
        was_loaded = policy.loaded_versions(former.model_version_policy, edit.versions)
        if edit.model == widened:
            edit.model.CopyFrom(former)
        elif version not in edit.wanted(fit=edit.loaded()) | was_loaded:
            edit.load(edit.loaded() - {version})
        edit.publish()
    with contextlib.suppress(RolloutFailed):  # what is told is why the promotion failed
        rollout.send(served.config_path)


def _let_go(served: ServedModel, version: int, rollout: Rollout, seen: Seen) -> None:
    """Take a version that a server holds as failed off the policy, until the server may have noticed.

    For as long as it is aspired, it is not loaded again (`core/aspired_versions_manager.cc`).
    """
    held = [(where, told[version]) for where, told in seen.items() if version in told]
    failed = [f"{where}: {status.error}" for where, status in held if status.has_failed]
    if not failed or not served.config_path.exists():
        return
    logger.warning("Version %d failed before: %s", version, "; ".join(failed))
    with served.edit() as edit:
        rest = edit.loaded() - {version}
        if rest and version not in edit.labels.values():
            edit.load(rest)
        if version in edit.loaded():
            logger.warning("It stays on the policy, so a server tries it again only when it is started anew")
            return
        edit.publish()
    rollout.send(served.config_path)
    rollout.wait_until_forgotten(version, unlisted_since=served.config_path.stat().st_mtime)


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
