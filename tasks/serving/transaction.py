"""One model in the servers' config file: read, changed and written under a lock, with a line in the log for each move.

The file may hold other models, and whatever a person added; all of it stays.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from tasks.errors import InvalidServingConfig
from tasks.serving import policy
from tasks.serving.config_file import find_model, labels, read_config, write_config
from tasks.serving.release_log import Move, ReleaseLog
from tasks.storage import publishing
from tasks.versions.tree import find_versions

logger = logging.getLogger(__name__)

FOUND = "found in the config file: changed by hand"


@dataclass(frozen=True)
class ServedModel:
    """A model as the servers' config file has it; without a name, what is served from the base path.

    `keep_loaded` says how many versions are loaded without a label, too. `verdict` says why a version must not be
    loaded, None if it may. `server_base_path` is the base path as the servers see it, where they see another.
    """

    config_path: Path
    base_path: Path
    name: str
    keep_loaded: int
    verdict: Callable[[int], str | None]
    server_base_path: str = ""

    @property
    def log(self) -> ReleaseLog:
        """The record of releases beside the config file."""
        return ReleaseLog(self.config_path.parent)

    @property
    def listed_path(self) -> str:
        """The base path as the config file has it."""
        return self.server_base_path or str(self.base_path)

    def labels(self) -> dict[str, int]:
        """Label -> version, as the file says now; raises InvalidServingConfig."""
        return dict(labels(find_model(read_config(self.config_path), self.listed_path, self.name)))

    def history(self) -> list[Move]:
        """The moves of this model that are on record, oldest first; raises InvalidReleaseLog."""
        return self.look().recorded

    def look(self) -> Edit:
        """What is so, without the lock: nothing of it is written. Raises as `edit` does."""
        read = cache(read_config)
        return Edit(self, read(self.config_path), self.log.moves(read))

    @cached_property
    def why_unfit(self) -> Callable[[int], str | None]:
        """The verdict, which takes seconds and is asked once for each version."""
        return cache(self.verdict)

    def find_fit(self, gone: Collection[int] = ()) -> set[int]:
        """The versions that may be kept loaded without a label, verified; to be called before the lock is taken.

        `gone` is left out. What a label points at now is what it comes from once it moves.
        """
        state = self.look()
        versions = [version for version in state.versions if version not in gone]
        back = {*state.came_from(), *state.labels.values()}
        newest = policy.kept_loaded((), versions, self.keep_loaded, self._is_fit)
        return newest | policy.kept_loaded(back, versions, self.keep_loaded, self._is_fit)

    def _is_fit(self, version: int) -> bool:
        why = self.why_unfit(version)
        if why:
            logger.warning("Version %d is not put on the policy without a label: %s", version, why)
        return not why

    @contextlib.contextmanager
    def edit(self) -> Iterator[Edit]:
        """Hold the lock of the config file; what a killed process left half written beside it is swept first.

        Raises:
            InvalidServingConfig: the file cannot be parsed, or holds something else under this model's name.
            InvalidReleaseLog: a line of the log cannot be read.
        """
        read = cache(read_config)  # the file is read once under the lock
        with self.log.locked(read) as moves:
            publishing.sweep(self.config_path.parent)
            yield Edit(self, read(self.config_path), moves)


class Edit:
    """What the config file says about one model, under the lock; `publish` writes what was changed here."""

    def __init__(self, served: ServedModel, config: Any, moves: Sequence[Move]) -> None:
        self.served, self.config = served, config
        self._read = type(config).FromString(config.SerializeToString())
        self.is_new = False
        self.model = self._find_or_add()
        self.name: str = self.model.name
        self.recorded = [m for m in moves if (m.config, m.model) == (served.config_path.name, self.name)]
        self._found = self._changes_by_hand()
        self.history = self.recorded + self._found
        self.versions = find_versions(served.base_path)

    @property
    def labels(self) -> dict[str, int]:
        """Label -> version, with the changes made here."""
        return dict(labels(self.model))

    @property
    def policy(self) -> Any:
        """Which versions are loaded: a ServableVersionPolicy."""
        return self.model.model_version_policy

    def moves_of(self, label: str) -> list[Move]:
        """The moves of a label, oldest first."""
        return [move for move in self.history if move.label == label]

    def previous(self, label: str) -> int | None:
        """Where the label would be rolled back to."""
        moves = self.moves_of(label)
        return moves[-1].before if moves else None

    def came_from(self) -> set[int]:
        """What the labels would be rolled back to."""
        return {version for label in self.labels if (version := self.previous(label)) is not None}

    def loaded(self) -> set[int]:
        """The versions of the tree that a server loads by the model's policy; none of a model it never heard of."""
        return set() if self.is_new else policy.loaded_versions(self.policy, self.versions)

    def wanted(self, fit: Collection[int]) -> set[int]:
        """The versions to be loaded: those with a label, and of the fit ones what is kept loaded without."""
        kept = policy.kept_loaded(self.came_from(), self.versions, self.served.keep_loaded, fit.__contains__)
        return {*self.labels.values(), *kept}

    def load(self, versions: Iterable[int]) -> None:
        """Let the policy name these versions, unless it loads all of them."""
        policy.load(self.policy, set(versions))

    def drop(self, versions: Collection[int], fit: Collection[int]) -> None:
        """Take versions that leave the tree off a policy that names them."""
        self.versions = [version for version in self.versions if version not in versions]
        if self.policy.WhichOneof("policy_choice") == "specific":
            self.load((self.loaded() - set(versions)) | self.wanted(fit))

    def move(self, label: str | None, before: int | None, after: int | None, *, task: str, why: str) -> Move:
        """A line for the log."""
        config, base_path = self.served.config_path.name, str(self.served.base_path)
        about = {"task": task, "model": self.name, "base_path": base_path, "config": config}
        return Move(label=label, before=before, after=after, why=why, **about)

    def publish(self, moves: Sequence[Move] = (), *, first: Callable[[], None] = lambda: None) -> None:
        """Put the moves on record, do `first`, and write the config file if anything changed.

        What was changed by hand before gets its lines first. Whatever fails, no line tells of what did not take place.

        Raises:
            StorageFailed: the disk is full or not writable; the config file is as before.
        """

        def put_on_record() -> None:
            self.served.log.append([*self._found, *moves])
            first()

        try:
            if self.config == self._read:
                put_on_record()
            else:
                write_config(self.served.config_path, self.config, before_rename=put_on_record)
        except BaseException:
            self.served.log.cut_off_void()
            raise

    def _changes_by_hand(self) -> list[Move]:
        """A line for each label that does not point where the log says."""
        last = {move.label: move.after for move in self.recorded if move.label is not None}
        now = self.labels
        return [
            self.move(label, last.get(label), now.get(label), task="", why=FOUND)
            for label in sorted({*last, *now})
            if last.get(label) != now.get(label)
        ]

    def _find_or_add(self) -> Any:
        served, config, path = self.served, self.config, self.served.config_path
        listed = served.listed_path
        if config.WhichOneof("config") == "custom_model_config":
            raise InvalidServingConfig(f"{path}: holds a custom_model_config, which leaves no room for a model list")
        if (model := find_model(config, listed, served.name)) is not None:
            return model
        if (model := find_model(config, listed)) is not None:
            raise InvalidServingConfig(
                f"{path}: {listed} is served as model {model.name!r}; "
                f"leave --model-name {served.name} out, or rename the model there"
            )
        name = served.name or served.base_path.name
        for other in config.model_config_list.config:
            if other.name == name:
                raise InvalidServingConfig(
                    f"{path}: model {name!r} has the base path {other.base_path}, asked for was {listed}; "
                    "give the one as --base-path (as --server-base-path, if that is how the servers see it), "
                    "or another --model-name"
                )
        self.is_new = True
        return config.model_config_list.config.add(name=name, base_path=listed, model_platform="tensorflow")
