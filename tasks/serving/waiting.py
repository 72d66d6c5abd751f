"""Notes of those who wait until a server has loaded a version, so that nobody takes it off the policy meanwhile.

A note is a locked file beside the config file; the kernel lets go of the lock with the process.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from tasks.storage import disk_errors, publishing

PREFIX = ".waiting-"


@contextlib.contextmanager
def waiting_for(folder: Path, base_path: Path, version: int) -> Iterator[None]:
    """Leave a note in `folder` for as long as the block runs."""
    publishing.make_directory(folder)
    note, stream = _open_note(folder)
    with stream:
        stream.write(json.dumps([os.path.realpath(base_path), version]).encode())
        try:
            yield
        finally:
            note.unlink(missing_ok=True)


def _open_note(folder: Path) -> tuple[Path, FileIO]:
    """Make a locked file; a sweeper may catch it between the two steps, so try again."""
    while True:
        note = folder / f"{PREFIX}{secrets.token_hex(4)}"
        with disk_errors.explain_os_errors(note):
            stream = note.open("xb", buffering=0)
        fcntl.flock(stream, fcntl.LOCK_EX)
        if note.exists():
            return note, stream
        stream.close()


def awaited_versions(folder: Path, base_path: Path) -> set[int]:
    """The versions of one tree that live processes wait for; what dead ones left is swept."""
    awaited = set()
    for note in folder.glob(f"{PREFIX}*"):
        with contextlib.suppress(FileNotFoundError, ValueError), note.open("rb") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                tree, version = json.loads(stream.read())
                if tree == os.path.realpath(base_path):
                    awaited.add(version)
            else:
                note.unlink(missing_ok=True)
    return awaited
