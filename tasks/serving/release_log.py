"""The record of releases: one line for each change of what is served, in `releases.jsonl` beside the config file.

A change and its line cannot be written in one step, so the line comes first. If the process dies in between, the last
lines tell of something that did not take place: readers look and ignore them, and the next process that takes the lock
cuts them off. So every change has its line, with its reason, and every line tells of a change that took place.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from tasks.errors import InvalidReleaseLog
from tasks.serving.config_file import find_model, labels, read_config
from tasks.storage import locks, publishing
from tasks.storage.disk_errors import explain_os_errors

LOG = "releases.jsonl"
LOCK = ".releases.lock"


@dataclass(frozen=True)
class Move:
    """A label that pointed at one version and now points at another, or a version that was taken out of the tree.

    `before` and `after` are versions, None for nothing. Without a label, `before` is the version that is gone.
    """

    task: str
    config: str
    model: str
    base_path: str
    label: str | None
    before: int | None
    after: int | None
    why: str
    when: str = ""

    def as_line(self) -> str:
        """The line in the log."""
        return json.dumps(
            {
                "when": self.when,
                "label": self.label,
                "from": self.before,
                "to": self.after,
                "why": self.why,
                "task": self.task,
                "model": self.model,
                "base_path": self.base_path,
                "config": self.config,
            }
        )

    @classmethod
    def from_line(cls, line: str) -> Move:
        """Read a line; raises ValueError, KeyError, TypeError or AttributeError if it is not a line of this log."""
        entry = json.loads(line)
        entry["before"], entry["after"] = entry.pop("from"), entry.pop("to")
        if any(type(entry[end]) not in {int, type(None)} for end in ("before", "after")):
            raise ValueError("from and to must be versions, or null")
        datetime.fromisoformat(entry["when"])
        return cls(**entry)


class ReleaseLog:
    """The log in one folder, and the lock under which that folder's config files are changed."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOG
        self.lock_path = folder / LOCK

    def moves(self) -> list[Move]:
        """Every move that took place, oldest first.

        Raises:
            InvalidReleaseLog: a line is not one of this log.
        """
        moves = [self._read(number, line) for number, line in enumerate(self._lines(), 1)]
        return moves[: len(moves) - self._count_void(moves)]

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Wait for the lock, hold it for the block, and first cut off what a process left that died under it."""
        publishing.make_directory(self.path.parent)
        with contextlib.ExitStack() as held:
            with explain_os_errors(self.lock_path):
                held.enter_context(locks.exclusive(self.lock_path))
            self.cut_off_void()
            yield

    def append(self, moves: Sequence[Move]) -> None:
        """Add lines for moves that are about to be made, in the order in which they will be; to be called locked."""
        if moves:
            now = datetime.now(timezone.utc).isoformat(timespec="microseconds")
            with explain_os_errors(self.path), self.path.open("ab") as stream:
                stream.write("".join(replace(move, when=now).as_line() + "\n" for move in moves).encode())
                stream.flush()  # all of it, or an error
                os.fsync(stream.fileno())
            publishing.flush(self.path.parent)

    def cut_off_void(self) -> None:
        """Cut off lines of moves that were not made, and part of a line; to be called locked."""
        lines = self._lines()
        kept = lines[
            : len(lines) - self._count_void([self._read(number, line) for number, line in enumerate(lines, 1)])
        ]
        self.cut_off(sum(len(line.encode(errors="surrogateescape")) + 1 for line in kept))

    def cut_off(self, size: int) -> None:
        """Cut off what comes after that many bytes; to be called locked."""
        if self.size() > size:
            os.truncate(self.path, size)
            publishing.flush(self.path)

    def size(self) -> int:
        """How many bytes the log has."""
        return self.path.stat().st_size if self.path.exists() else 0

    def _lines(self) -> list[str]:
        """The lines as they are; one without an end is still being written, or never will be."""
        try:
            return self.path.read_bytes().decode(errors="surrogateescape").split("\n")[:-1]
        except FileNotFoundError:
            return []

    def _count_void(self, moves: Sequence[Move]) -> int:
        """How many moves of the last transaction, counted from its end, did not take place."""
        count = 0
        while (
            count < len(moves) and moves[-1 - count].when == moves[-1].when and not self._took_place(moves[-1 - count])
        ):
            count += 1
        return count

    def _took_place(self, move: Move) -> bool:
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
        model = find_model(read_config(config_path), Path(move.base_path), move.model)
        return labels(model).get(move.label) == move.after

    def _read(self, number: int, line: str) -> Move:
        try:
            return Move.from_line(line)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidReleaseLog(
                f"{self.path}, line {number}: not a line of this log ({error}); nothing was changed. "
                "Take the line out, or put the file aside"
            ) from error
