"""One model in a server's config file: which versions are loaded, and what its labels point at.

The file may hold other models, and whatever a person added; all of it stays. Comments cannot: the protobuf library
does not read them. So a text with comments is kept beside the file before it is replaced for the first time.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from tasks.errors import InvalidServingConfig
from tasks.serving.config_file import empty_config, find_model, labels, read_config
from tasks.serving.release_log import LogWriter, Move, ReleaseLog
from tasks.serving.verdicts import Check, FitVersions, refuse_unfit
from tasks.serving.waiting import awaited_versions
from tasks.storage import publishing
from tasks.versions.tree import find_versions

BY_HAND = ".by-hand"
FOUND = "found in the config file: changed by hand"
_QUOTED = re.compile(r'"(?:\\.|[^"\\\n])*"' + "|" + r"'(?:\\.|[^'\\\n])*'")


@dataclass(frozen=True)
class ServedModel:
    """A model as the server's config file has it: `config_path` is the file, `base_path` the folder of its versions."""

    config_path: Path
    base_path: Path
    name: str
    keep_loaded: int = 2  # the newest versions that are loaded whether they have a label or not
    verify: Check = refuse_unfit  # and that have to pass this: at its next start the server loads them or fails

    @property
    def log(self) -> ReleaseLog:
        """The record of releases beside the config file."""
        return ReleaseLog(self.config_path.parent)

    @cached_property
    def fit(self) -> FitVersions:
        """The versions that pass `verify`."""
        return FitVersions(self.base_path, self.verify)

    def labels(self) -> dict[str, int]:
        """Label -> version, as the file says now; raises InvalidServingConfig."""
        return dict(sorted(labels(find_model(read_config(self.config_path), self.base_path, self.name)).items()))

    def history(self) -> list[Move]:
        """The moves of this model, oldest first; raises InvalidReleaseLog."""
        return [move for move in self.log.moves() if self._is_of_this(move)]

    @contextlib.contextmanager
    def edit(self) -> Iterator[Edit]:
        """Hold the lock of the config file, so that what is read stays true until it is written.

        What a killed process left half written beside the file is swept first.

        Raises:
            InvalidServingConfig: the file cannot be parsed, or holds something else under this model's name.
            InvalidReleaseLog: a line of the log cannot be read.
        """
        with self.log.locked(partial(_took_place, self.config_path.parent)) as writer:
            publishing.sweep(self.config_path.parent)
            yield Edit(self, writer)

    def _is_of_this(self, move: Move) -> bool:
        return move.config == self.config_path.name and move.model == self.name


class Edit:
    """What the config file says about one model, under the lock; `publish` writes what was changed here."""

    def __init__(self, served: ServedModel, writer: LogWriter) -> None:
        self.writer = writer
        self.served = served
        self.path = served.config_path
        self.content = _read_bytes(self.path)
        self.config = read_config(self.path) or empty_config()
        self.is_new = False
        self.model = self._find_or_add()
        self.is_changed = False
        self.found_labels = dict(labels(self.model))
        self.history = served.history()
        self.found = self._changes_by_hand()
        self.history += self.found
        self.versions = find_versions(served.base_path)

    @property
    def labels(self) -> dict[str, int]:
        """Label -> version, with the changes made here."""
        return dict(sorted(labels(self.model).items()))

    def label_history(self, label: str) -> list[Move]:
        """The moves of one label, oldest first."""
        return [move for move in self.history if move.label == label]

    def previous(self, label: str) -> int | None:
        """Where the label would be rolled back to."""
        moves = self.label_history(label)
        return moves[-1].before if moves else None

    def point(self, label: str, version: int | None) -> None:
        """Let a label point at a version, or at nothing."""
        self.is_changed = True
        if version is None:
            self.model.version_labels.pop(label, None)
        else:
            self.model.version_labels[label] = version

    def loaded(self) -> set[int]:
        """The versions of the tree that a server loads by the model's policy; none of a model it never heard of."""
        if self.is_new:
            return set()
        policy = self.model.model_version_policy
        choice = policy.WhichOneof("policy_choice")
        if choice == "all":
            return set(self.versions)
        if choice == "specific":
            return set(policy.specific.versions)
        newest = max(policy.latest.num_versions, 1) if choice == "latest" else 1
        return set(self.versions[-newest:])

    def wanted(self) -> set[int]:
        """The versions to be loaded: those with a label, those that somebody waits for, and the newest good ones."""
        awaited = awaited_versions(self.path.parent, self.served.base_path)
        return {*self.labels.values(), *awaited, *self.served.fit.newest(self.versions, self.served.keep_loaded)}

    def load(self, versions: Iterable[int]) -> None:
        """Let the policy say which versions are loaded; one that loads all of them is left as it is."""
        self.is_changed = True
        policy = self.model.model_version_policy
        if policy.WhichOneof("policy_choice") != "all":
            policy.specific.versions[:] = sorted(versions)

    def drop(self, versions: Collection[int]) -> None:
        """Take versions that are going to leave the tree off a policy that names them."""
        self.versions = [version for version in self.versions if version not in versions]
        if self.model.model_version_policy.WhichOneof("policy_choice") == "specific":
            self.load((self.loaded() - set(versions)) | self.wanted())

    def move(self, label: str | None, before: int | None, after: int | None, *, task: str, why: str) -> Move:
        """A line for the log."""
        names = (self.path.name, self.served.name, str(self.served.base_path))
        return Move(task, *names, label=label, before=before, after=after, why=why)

    def publish(self, moves: Sequence[Move] = (), *, then: Callable[[], None] = lambda: None) -> bytes | None:
        """Write the config file if anything changed, do `then`, and write the moves' lines.

        What was changed by hand before gets its lines first.

        Returns what the file holds now.

        Raises:
            StorageFailed: the disk is full or not writable; nothing was changed.
        """
        content = self._as_text()
        with self.writer.recorded(self.found):
            self.found = []
        with self.writer.recorded(moves):
            if self.is_changed and self.config != (read_config(self.path) or empty_config()):
                self._keep_comments()
                publishing.publish_file(self.path, content)
            then()
        return _read_bytes(self.path)

    def restore(self, content: bytes | None) -> None:
        """Put back what the file held; copies of it that were kept for their comments are then one too many."""
        if content is None:
            self.path.unlink(missing_ok=True)
        else:
            publishing.publish_file(self.path, content)
        for kept in self.path.parent.glob(f"{glob.escape(self.path.name)}.*{BY_HAND}"):
            if kept.read_bytes() == content:
                kept.unlink()

    def _changes_by_hand(self) -> list[Move]:
        """A line for each label that does not point where the log says."""
        last = {move.label: move.after for move in self.history if move.label is not None}
        now = self.found_labels
        return [
            self.move(label, last.get(label), now.get(label), task="", why=FOUND)
            for label in sorted({*last, *now})
            if last.get(label) != now.get(label)
        ]

    def _as_text(self) -> bytes:
        from google.protobuf import text_format

        text: str = text_format.MessageToString(self.config, as_utf8=True)
        if text_format.Parse(text, empty_config()) != self.config:
            raise InvalidServingConfig(f"{self.path}: what would be written does not read back the same; left as it is")
        return text.encode()

    def _keep_comments(self) -> None:
        if self.content is not None and "#" in _QUOTED.sub("", self.content.decode()):
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            publishing.publish_file(self.path.with_name(f"{self.path.name}.{stamp}{BY_HAND}"), self.content)

    def _find_or_add(self) -> Any:
        served, config = self.served, self.config
        if config.WhichOneof("config") == "custom_model_config":
            raise InvalidServingConfig(
                f"{self.path}: holds a custom_model_config, which leaves no room for a model list"
            )
        model = find_model(config, served.base_path, served.name)
        if model is not None:
            return model
        model = find_model(config, served.base_path)
        if model is not None:
            raise InvalidServingConfig(
                f"{self.path}: {served.base_path} is served as model {model.name!r}; "
                f"leave --model-name {served.name} out, or rename the model there"
            )
        for other in config.model_config_list.config:
            if other.name == served.name:
                raise InvalidServingConfig(
                    f"{self.path}: model {served.name!r} has the base path {other.base_path}, asked for was "
                    f"{served.base_path}; give the one as --base-path, or another --model-name"
                )
        self.is_new = True
        return config.model_config_list.config.add(
            name=served.name, base_path=str(served.base_path), model_platform="tensorflow"
        )


def _took_place(folder: Path, move: Move) -> bool:
    """Whether a change of which only the intention is on record was made before its process died."""
    if move.label is None:
        return not os.path.lexists(Path(move.base_path, str(move.before)))
    model = find_model(read_config(folder / move.config), Path(move.base_path), move.model)
    return labels(model).get(move.label) == move.after


def _read_bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
