"""Publish once: a folder appears under its name whole, or not at all.

A model server polls the version tree while it is written, and to Luigi an output that exists is finished. So a
folder is written aside (same file system, a name that no reader takes for a version), everything in it is flushed to
disk, and one rename makes it visible. A writer holds a lock on its folder, which the kernel releases when the process
ends: so the next writer can tell what a killed one left, and sweeps it.

Raises:
    StorageFailed: `publish_...`, `scratch_directory`, `append_line` and `make_directory` found no permission, no space
        or a file in the way; the text names the place. The other functions raise the plain OSError.
"""

import contextlib
import ctypes
import os
import secrets
import shutil
import stat
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from tasks.storage import checksums
from tasks.storage.disk_errors import explain_os_errors
from tasks.storage.locks import try_lock

ASIDE_PREFIX = ".aside-"
SWEEP_SECONDS = 10.0  # between two looks at a folder by one process; of thousands of versions, each costs milliseconds
_RANDOM = 8  # hexadecimal digits
_IN_PLACE = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # no link is written through, no FIFO waited for

_swept: dict[Path, float] = {}  # folder -> when this process looked last


@contextlib.contextmanager
def publish_directory(target: Path) -> Iterator[Path]:
    """Hand out an empty folder to fill; when the block ends, rename it to `target`; if it raises, remove it.

    Raises:
        FileExistsError: `target` is there already, with something in it (somebody else was faster).
    """
    with scratch_directory(target) as aside:
        yield aside
        flush_tree(aside)
        try:
            aside.rename(target)
        except OSError as error:
            if target.exists():
                raise FileExistsError(f"{target} is there already") from error
            raise
        flush(target.parent)


@contextlib.contextmanager
def scratch_directory(target: Path) -> Iterator[Path]:
    """Hand out an empty folder beside `target`, which need not exist; it is gone when the block ends."""
    with explain_os_errors(target):
        make_directory(target.parent)
        _sweep_now_and_then(target.parent)
        with _locked_aside(target) as aside:
            yield aside


@contextlib.contextmanager
def publish_sealed(target: Path) -> Iterator[Path]:
    """As `publish_directory`, for folders that can be made again: with checksums, and free to replace a damaged one.

    If an intact one is there when the block ends, it stays, and what was written is dropped.

    Raises:
        FileExistsError: a file has the name.
    """
    try:
        with publish_directory(target) as aside:
            yield aside
            checksums.seal(aside)
            if target.exists() and not checksums.is_intact(target):
                take_away(target)
    except FileExistsError:
        if not checksums.is_intact(target):
            raise


def publish_file(target: Path, content: bytes, *, before_rename: Callable[[], None] = lambda: None) -> None:
    """Write a small file whole or not at all; one that bears the name is replaced, and its mode kept.

    `before_rename` is called when the content is safe on disk; if it raises, the file stays as it was.
    """
    with explain_os_errors(target):
        make_directory(target.parent)
        _sweep_now_and_then(target.parent)
        with _locked_aside(target) as aside:
            (aside / target.name).write_bytes(content)
            if target.is_file():
                shutil.copymode(target, aside / target.name)
            flush(aside / target.name)
            before_rename()
            (aside / target.name).replace(target)
            flush(target.parent)


def append_line(target: Path, line: str, *, safe: bool = False) -> None:
    """Add one line to a log that several processes write (one `write` in append mode is not torn apart).

    With `safe`, it is on the disk when this returns.
    """
    with explain_os_errors(target):
        make_directory(target.parent)
        handle = os.open(target, os.O_APPEND | os.O_CREAT | _IN_PLACE, 0o666)
        try:
            _write_whole(handle, line.encode() + b"\n")
            if safe:
                os.fsync(handle)
        finally:
            os.close(handle)
        if safe:
            flush(target.parent)


def cut_off(path: Path, size: int) -> None:
    """Let a file end after that many bytes, safe on the disk; raises OSError, for a link too."""
    handle = os.open(path, _IN_PLACE)
    try:
        os.ftruncate(handle, size)
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_whole(handle: int, content: bytes) -> None:
    """Write all of it, or (on a full disk, say) nothing: what came first is cut off again."""
    written = os.write(handle, content)
    end = os.lseek(handle, 0, os.SEEK_CUR)
    try:
        while written < len(content):
            written += os.write(handle, content[written:])
    except OSError:
        if os.fstat(handle).st_size == end:  # nobody has gone on behind it
            os.ftruncate(handle, end - written)
        raise


def make_directory(path: Path) -> None:
    """Make a folder and its parents where they are missing."""
    with explain_os_errors(path):
        path.mkdir(parents=True, exist_ok=True)


def sweep(directory: Path) -> list[Path]:
    """Remove what dead writers left in `directory`, not what a live process is writing; returns what was removed.

    The folder may be one that others use, such as /tmp: only folders with the names that are made here are looked at.
    """
    swept = []
    names = os.listdir(directory)  # noqa: PTH208 - of thousands of versions, for each of them
    for leftover in [directory / name for name in names if name.startswith(ASIDE_PREFIX)]:
        with contextlib.suppress(OSError):  # what may not be looked at is not ours
            if not _is_ours(leftover):
                continue
            lock = try_lock(leftover)
            if lock is not None:
                shutil.rmtree(leftover, ignore_errors=True)
                os.close(lock)
                swept.append(leftover)
    return swept


def _is_ours(path: Path) -> bool:
    """Whether it is a folder (no link to one) with a name that `aside_name` gives."""
    name, _, mark = path.name.removeprefix(ASIDE_PREFIX).rpartition("-")
    return path.name == aside_name(name, mark[:_RANDOM]) and stat.S_ISDIR(path.lstat().st_mode)


def aside_name(name: str, random: str) -> str:
    """Random digits, and a checksum that no name of somebody else's ends with by chance."""
    return f"{ASIDE_PREFIX}{name}-{random}{zlib.crc32(f'{name}-{random}'.encode()):08x}"


def _sweep_now_and_then(directory: Path) -> None:
    if time.monotonic() - _swept.get(directory, float("-inf")) > SWEEP_SECONDS:
        sweep(directory)
        _swept[directory] = time.monotonic()


def is_being_written(path: Path) -> bool:
    """Whether a live process holds the lock of what it is writing under an aside name."""
    try:
        lock = try_lock(path)
    except OSError:
        return False
    if lock is None:
        return path.exists()
    os.close(lock)
    return False


def take_away(target: Path) -> None:
    """Rename a folder aside, then remove it, so that nobody sees half of it."""
    with _locked_aside(target) as grave:
        target.rename(grave / target.name)


def flush_tree(directory: Path) -> None:
    """Flush every file and folder below `directory` to the disk, and `directory` itself.

    By one `syncfs` (Linux): an fsync for each file takes twice as long, as each waits for the disk.
    """
    handle = os.open(directory, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(handle):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(directory))
    finally:
        os.close(handle)


def flush(path: Path) -> None:
    """Flush one file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _locked_aside(target: Path) -> Iterator[Path]:
    """Hand out a new folder beside `target` that no sweep takes; it is gone when the block ends."""
    while True:
        aside = target.with_name(aside_name(target.name, secrets.token_hex(_RANDOM // 2)))
        aside.mkdir()
        try:
            lock = try_lock(aside)  # a sweep may come between these two lines and take it, lock or folder: try again
        except OSError:
            aside.rmdir()
            raise
        if lock is not None and aside.exists():
            break
        if lock is not None:
            os.close(lock)
    try:
        yield aside
    finally:
        for _ in range(2):  # once more where the disk failed: nobody may write here again, and sweep it
            shutil.rmtree(aside, ignore_errors=True)
        os.close(lock)
