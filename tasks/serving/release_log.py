"""The record of releases: one line for each change of what is served, in `releases.jsonl` beside the config file.

A change and its line cannot be written in one step, so the lines are put into the lock file first. Whoever takes the
lock after a process that died finds them there, looks which of the changes took place, and writes the lines of
those. So every change has its line, with its reason, and every line tells of a change that took place.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO

from tasks.errors import InvalidReleaseLog
from tasks.storage import disk_errors, publishing

LOG = "releases.jsonl"
LOCK = ".releases.lock"
NO_MOVE = (ValueError, KeyError, TypeError, AttributeError)  # what Move.from_line raises


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
        """Read a line; raises one of NO_MOVE where it is none."""
        entry = json.loads(line)
        entry["before"], entry["after"] = entry.pop("from"), entry.pop("to")
        if any(type(entry[end]) not in {int, type(None)} for end in ("before", "after")):
            raise ValueError("from and to must be versions, or null")
        return cls(**entry)


class ReleaseLog:
    """The log in one folder, and the lock under which that folder's config files are changed."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOG
        self.lock_path = folder / LOCK

    def moves(self) -> list[Move]:
        """Every line of the log; one that is just being written, and so has no end yet, is left out.

        Raises:
            InvalidReleaseLog: a line is none of this log's.
        """
        return [self._read(number, line) for number, line in enumerate(self.lines(), 1)]

    def lines(self) -> list[str]:
        """The lines as they are."""
        try:
            return self.path.read_bytes().decode(errors="replace").split("\n")[:-1]
        except FileNotFoundError:
            return []

    @contextlib.contextmanager
    def locked(self, took_place: Callable[[Move], bool]) -> Iterator[LogWriter]:
        """Wait for the lock, hold it, and first write the lines that a process left that died while it held it."""
        publishing.make_directory(self.path.parent)
        with disk_errors.explain_os_errors(self.lock_path):
            journal = self.lock_path.open("a+b")
        with journal:
            fcntl.flock(journal, fcntl.LOCK_EX)
            writer = LogWriter(self, journal)
            writer.recover(took_place)
            yield writer

    def _read(self, number: int, line: str) -> Move:
        try:
            return Move.from_line(line)
        except NO_MOVE as error:
            raise InvalidReleaseLog(
                f"{self.path}, line {number}: not a line of this log ({error}); nothing was changed. "
                "Take the line out, or put the file aside"
            ) from error


class LogWriter:
    """What may write the log: whoever holds its lock. The locked file is the journal."""

    def __init__(self, log: ReleaseLog, journal: BinaryIO) -> None:
        self.log = log
        self._journal = journal

    @contextlib.contextmanager
    def recorded(self, moves: Sequence[Move]) -> Iterator[None]:
        """Write the moves' lines when the block that makes them has ended."""
        if not moves:
            yield
            return
        now = datetime.now(timezone.utc).isoformat(timespec="microseconds")
        lines = [replace(move, when=now).as_line() for move in moves]
        self._write_journal(lines)
        yield
        self._append(lines)
        self._write_journal([])

    def recover(self, took_place: Callable[[Move], bool]) -> None:
        """Write the lines of those moves in the journal that were made before their process died."""
        self._mend()
        self._journal.seek(0)
        pending = self._journal.read().decode(errors="replace").split("\n")[:-1]
        if not pending:
            return
        written = set(self.log.lines())
        with contextlib.suppress(*NO_MOVE):  # a journal cut short: nothing was done yet
            moves = [(line, Move.from_line(line)) for line in pending]
            self._append([line for line, move in moves if line not in written and took_place(move)])
        self._write_journal([])

    def _mend(self) -> None:
        """Cut off the part of a line that a dying machine left (the journal has the whole), or end a whole one."""
        with contextlib.suppress(FileNotFoundError), self.log.path.open("r+b") as stream:
            *_, last = (content := stream.read()).split(b"\n")
            if not last:
                return
            try:
                Move.from_line(last.decode())
                stream.write(b"\n")
            except NO_MOVE:
                stream.truncate(len(content) - len(last))

    def _append(self, lines: Sequence[str]) -> None:
        if lines:
            publishing.append_line(self.log.path, "\n".join(lines))
            publishing.flush(self.log.path)
            publishing.flush(self.log.path.parent)

    def _write_journal(self, lines: Sequence[str]) -> None:
        with disk_errors.explain_os_errors(self.log.lock_path):
            self._journal.truncate(0)  # opened to append: what is written goes to the new end
            self._journal.write("".join(line + "\n" for line in lines).encode())
            self._journal.flush()
            os.fsync(self._journal.fileno())
