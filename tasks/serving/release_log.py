"""The record of releases: one line for each change of what is served, in `releases.jsonl` beside the config file.

A change and its line cannot be written in one step, so the line comes first. If the process dies in between, the last
lines tell of something that did not take place: readers look and ignore them, and the next process that takes the lock
cuts them off. So every change has its line, with its reason, and every line tells of a change that took place.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tasks.errors import InvalidReleaseLog
from tasks.serving.config_file import labels, read_config
from tasks.storage import locks, publishing
from tasks.storage.disk_errors import explain_os_errors
from tasks.storage.files import read_regular
from tasks.storage.json_text import parse_json

Read = Callable[[Path], Any]  # a config file's path -> its ModelServerConfig


@dataclass(frozen=True, kw_only=True)
class Move:
    """A label that pointed at one version and now points at another, or a version that was taken out of the tree.

    `before` and `after` are versions, None for nothing. Without a label, `before` is the version that is gone.
    """

    when: str = ""
    label: str | None
    before: int | None
    after: int | None
    why: str
    task: str
    model: str
    base_path: str
    config: str

    def as_line(self) -> str:
        """The line in the log, where `before` and `after` are called `from` and `to`."""
        names = {"before": "from", "after": "to"}
        return json.dumps({names.get(name, name): value for name, value in asdict(self).items()})

    @classmethod
    def from_line(cls, line: str) -> Move:
        """Read a line; raises ValueError, KeyError, TypeError, AttributeError or OverflowError if it is none."""
        entry = parse_json(line)
        entry["before"], entry["after"] = entry.pop("from"), entry.pop("to")
        if any(type(entry[end]) not in {int, type(None)} for end in ("before", "after")):
            raise ValueError("from and to must be versions, or null")
        if datetime.fromisoformat(entry["when"]).timestamp() < 0:
            raise ValueError("when must be a time since 1970")
        move = cls(**entry)
        texts = {name: value for name, value in asdict(move).items() if name not in {"before", "after"}}
        if move.label is None:
            del texts["label"]
        for name, text in texts.items():
            if not isinstance(text, str) or "\0" in text:
                raise ValueError(f"{name} must be text")
        if move.config in {"", ".", ".."} or "/" in move.config:  # it is read, beside the log and nowhere else
            raise ValueError("config must be the name of a file")
        return move


class ReleaseLog:
    """The log in one folder, and the lock under which that folder's config files are changed."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "releases.jsonl"
        self.lock_path = folder / ".releases.lock"

    def moves(self, read: Read = read_config) -> list[Move]:
        """Every move that took place, oldest first; raises InvalidReleaseLog if a line is not one of this log."""
        return [move for _, move in self._read(read)]

    @contextlib.contextmanager
    def locked(self, read: Read = read_config) -> Iterator[list[Move]]:
        """Wait for the lock, hold it for the block, and first cut off what a process left that died under it.

        Gives every move that took place, oldest first.
        """
        publishing.make_directory(self.path.parent)
        with contextlib.ExitStack() as held:
            with explain_os_errors(self.lock_path):
                held.enter_context(locks.exclusive(self.lock_path))
            yield self.cut_off_void(read)

    def append(self, moves: Sequence[Move]) -> None:
        """Add lines for moves that are about to be made, in the order in which they will be; to be called locked."""
        if moves:
            now = datetime.now(timezone.utc).isoformat(timespec="microseconds")
            publishing.append_line(self.path, "\n".join(replace(move, when=now).as_line() for move in moves), safe=True)

    def cut_off_void(self, read: Read = read_config) -> list[Move]:
        """Cut off lines of moves that were not made, and part of a line, and give the rest; to be called locked."""
        told = self._read(read)
        self.cut_off(sum(len(line) + 1 for line, _ in told))
        return [move for _, move in told]

    def cut_off(self, size: int) -> None:
        """Cut off what comes after that many bytes; to be called locked."""
        if self.size() > size:
            with explain_os_errors(self.path):
                publishing.cut_off(self.path, size)

    def size(self) -> int:
        """How many bytes the log has."""
        return self.path.stat().st_size if self.path.exists() else 0

    def _read(self, read: Read) -> list[tuple[bytes, Move]]:
        """The lines and what they tell, without those at the end of the last transaction that did not take place."""
        content = b""
        with explain_os_errors(self.path), contextlib.suppress(FileNotFoundError):
            content = read_regular(self.path, follow=False)
        lines = content.split(b"\n")[:-1]  # one without an end is still being written, or never will be
        told = [(line, self._parse(number, line)) for number, line in enumerate(lines, 1)]
        last = told[-1][1].when if told else ""
        while told and told[-1][1].when == last and not self._took_place(told[-1][1], read):
            told.pop()
        return told

    def _took_place(self, move: Move, read: Read) -> bool:
        """Whether a move is visible, or what it changed was changed since (by hand: the move came before that)."""
        when = datetime.fromisoformat(move.when).timestamp()
        if move.label is None:
            folder = Path(move.base_path, str(move.before))
            return not os.path.lexists(folder) or folder.lstat().st_ctime > when
        config_path = self.path.parent / move.config
        if not config_path.exists():
            return True  # it was there when the line was written
        status = config_path.stat()
        if max(status.st_mtime, status.st_ctime) > when:
            return True
        listed = read(config_path).model_config_list.config
        model = next((entry for entry in listed if entry.name == move.model), None)
        return labels(model).get(move.label) == move.after

    def _parse(self, number: int, line: bytes) -> Move:
        try:
            return Move.from_line(line.decode(errors="surrogateescape"))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise InvalidReleaseLog(
                f"{self.path}, line {number}: not a line of this log ({error}); nothing was changed. "
                "Take the line out, or put the file aside"
            ) from error
