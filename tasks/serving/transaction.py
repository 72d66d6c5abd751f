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
    """A model as the servers' config file has it.

    The newest `keep_loaded` versions that are fit are loaded whether they have a label or not. `verdict` says why a
    version must not be loaded, None if it may.
    """

    config_path: Path
    base_path: Path
    name: str
    keep_loaded: int
    verdict: Callable[[int], str | None]

    @property
    def log(self) -> ReleaseLog:
        """The record of releases beside the config file."""
        return ReleaseLog(self.config_path.parent)

    def labels(self) -> dict[str, int]:
        """Label -> version, as the file says now; raises InvalidServingConfig."""
        return dict(labels(find_model(read_config(self.config_path), self.base_path, self.name)))

    def history(self) -> list[Move]:
        """The moves of this model, oldest first; raises InvalidReleaseLog."""
        return [move for move in self.log.moves() if (move.config, move.model) == (self.config_path.name, self.name)]

    @cached_property
    def why_unfit(self) -> Callable[[int], str | None]:
        """The verdict, which takes seconds and is asked once for each version."""
        return cache(self.verdict)

    @contextlib.contextmanager
    def edit(self) -> Iterator[Edit]:
        """Hold the lock of the config file; what a killed process left half written beside it is swept first.

        Raises:
            InvalidServingConfig: the file cannot be parsed, or holds something else under this model's name.
            InvalidReleaseLog: a line of the log cannot be read.
        """
        with self.log.locked():
            publishing.sweep(self.config_path.parent)
            yield Edit(self)


class Edit:
    """What the config file says about one model, under the lock; `publish` writes what was changed here."""

    def __init__(self, served: ServedModel) -> None:
        self.served = served
        self.config = read_config(served.config_path)
        self._read = type(self.config).FromString(self.config.SerializeToString())
        self.is_new = False
        self.model = self._find_or_add()
        self.history = served.history()
        self._found = self._changes_by_hand()
        self.history += self._found
        self.versions = find_versions(served.base_path)

    @property
    def labels(self) -> dict[str, int]:
        """Label -> version, with the changes made here."""
        return dict(labels(self.model))

    @property
    def policy(self) -> Any:
        """Which versions are loaded: a ServableVersionPolicy."""
        return self.model.model_version_policy

    def previous(self, label: str) -> int | None:
        """Where the label would be rolled back to."""
        return next((move.before for move in reversed(self.history) if move.label == label), None)

    def count_moves(self, label: str) -> int:
        """How often the label was moved: if it went away and came back, it is another number."""
        return sum(move.label == label for move in self.history)

    def loaded(self) -> set[int]:
        """The versions of the tree that a server loads by the model's policy; none of a model it never heard of."""
        return set() if self.is_new else policy.loaded_versions(self.policy, self.versions)

    def wanted(self) -> set[int]:
        """The versions to be loaded: those with a label, and the newest fit ones."""
        return {*self.labels.values(), *policy.newest_fit(self.versions, self.served.keep_loaded, self._is_fit)}

    def load(self, versions: Iterable[int]) -> None:
        """Let the policy name these versions, unless it loads all of them."""
        policy.load(self.policy, set(versions))

    def drop(self, versions: Collection[int]) -> None:
        """Take versions that leave the tree off a policy that names them."""
        self.versions = [version for version in self.versions if version not in versions]
        if self.policy.WhichOneof("policy_choice") == "specific":
            self.load((self.loaded() - set(versions)) | self.wanted())

    def move(self, label: str | None, before: int | None, after: int | None, *, task: str, why: str) -> Move:
        """A line for the log."""
        config, base_path = self.served.config_path.name, str(self.served.base_path)
        about = {"task": task, "model": self.served.name, "base_path": base_path, "config": config}
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

    def _is_fit(self, version: int) -> bool:
        why = self.served.why_unfit(version)
        if why:
            logger.warning("Version %d is not put on the policy for being new: %s", version, why)
        return not why

    def _changes_by_hand(self) -> list[Move]:
        """A line for each label that does not point where the log says."""
        last = {move.label: move.after for move in self.history if move.label is not None}
        now = self.labels
        return [
            self.move(label, last.get(label), now.get(label), task="", why=FOUND)
            for label in sorted({*last, *now})
            if last.get(label) != now.get(label)
        ]

    def _find_or_add(self) -> Any:
        served, config, path = self.served, self.config, self.served.config_path
        if config.WhichOneof("config") == "custom_model_config":
            raise InvalidServingConfig(f"{path}: holds a custom_model_config, which leaves no room for a model list")
        if (model := find_model(config, served.base_path, served.name)) is not None:
            return model
        if (model := find_model(config, served.base_path)) is not None:
            raise InvalidServingConfig(
                f"{path}: {served.base_path} is served as model {model.name!r}; "
                f"leave --model-name {served.name} out, or rename the model there"
            )
        for other in config.model_config_list.config:
            if other.name == served.name:
                raise InvalidServingConfig(
                    f"{path}: model {served.name!r} has the base path {other.base_path}, asked for was "
                    f"{served.base_path}; give the one as --base-path, or another --model-name"
                )
        self.is_new = True
        return config.model_config_list.config.add(
            name=served.name, base_path=str(served.base_path), model_platform="tensorflow"
        )
