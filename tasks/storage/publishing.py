"""Publish once: a folder appears under its name whole, or not at all.

A model server polls the version tree while it is written, and Luigi takes the existence of an output for
the proof that it is finished. So a folder is written aside (same file system, a name that no reader takes
for a version), everything in it is flushed to disk, and one rename makes it visible. What a killed process
leaves behind is swept by the next one: a writer holds a lock on its folder for as long as it lives, and the
kernel lets go of that lock with the process.
"""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from tasks.errors import StorageFailed
from tasks.storage import checksums
from tasks.storage.locks import try_lock

ASIDE_PREFIX = ".aside-"

_FULL, _CLOSED = "make room or choose another place", "choose another place, or change who may write there"
PLACE_ERRORS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _FULL),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _CLOSED),
    **dict.fromkeys((errno.EIO, errno.ENAMETOOLONG), "choose another place"),
}


@contextlib.contextmanager
def publish_directory(target: Path) -> Iterator[Path]:
    """Hand out an empty folder to fill; when the block ends, rename it to `target`.

    If the block raises, what was written is removed.

    Raises:
        FileExistsError: `target` is there already, with something in it (somebody else was faster).
        StorageFailed: the folder cannot be made, or the disk is full; the text names it.
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
    """Hand out an empty folder beside `target`, which need not exist; it is gone when the block ends.

    Raises:
        StorageFailed: the folder cannot be made, or the disk is full; the text names `target`.
    """
    with explain_os_errors(target):
        make_directory(target.parent)
        sweep(target.parent)
        aside, lock = _open_aside(target)
        try:
            yield aside
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            os.close(lock)


@contextlib.contextmanager
def publish_sealed(target: Path) -> Iterator[Path]:
    """As `publish_directory`, for folders that can be made again: with checksums, and free to replace a damaged one.

    If an intact one is there when the block ends, it stays, and what was written is dropped.
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
        aside, lock = _open_aside(target)
        try:
            (aside / target.name).write_bytes(content)
            if target.is_file():
                shutil.copymode(target, aside / target.name)
            flush(aside / target.name)
            before_rename()
            (aside / target.name).replace(target)
            flush(target.parent)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            os.close(lock)


def append_line(target: Path, line: str) -> None:
    """Add one line to a log that several processes write (one `write` in append mode is not torn apart)."""
    with explain_os_errors(target):
        make_directory(target.parent)
        with target.open("ab", buffering=0) as stream:
            stream.write(line.encode() + b"\n")


def make_directory(path: Path) -> None:
    """Make a folder and its parents.

    Raises:
        StorageFailed: a file has the name, or the place is not writable.
    """
    with explain_os_errors(path):
        path.mkdir(parents=True, exist_ok=True)


def obstacle(path: Path) -> str | None:
    """Why no folder can be written at `path`, or None; looks only, makes nothing."""
    nearest = path
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        return f"{path}: {nearest} is a file where a folder is needed"
    if not os.access(nearest, os.W_OK | os.X_OK):
        return f"{path}: {nearest} is not writable for this user"
    return None


def sweep(directory: Path) -> list[Path]:
    """Remove what dead writers left in `directory`; what a live process is writing stays. Returns what went."""
    swept = []
    for leftover in directory.glob(f"{ASIDE_PREFIX}*"):
        lock = try_lock(leftover)
        if lock is None:
            continue
        _remove(leftover)
        os.close(lock)
        swept.append(leftover)
    return swept


def is_being_written(path: Path) -> bool:
    """Whether a live process holds the lock of what it is writing under an aside name."""
    lock = try_lock(path)
    if lock is not None:
        os.close(lock)
    return lock is None and path.exists()


def take_away(target: Path) -> None:
    """Rename a folder aside, then remove it, so that nobody sees half of it."""
    grave, lock = _open_aside(target)
    target.rename(grave / target.name)
    _remove(grave)
    os.close(lock)


def flush_tree(directory: Path) -> None:
    """Flush every file and folder below `directory` to the disk, and `directory` itself."""
    for root, _, files in os.walk(directory, topdown=False):
        for name in files:
            flush(Path(root, name))
        flush(Path(root))


def flush(path: Path) -> None:
    """Flush one file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def explain_os_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system refuses at `path`, or below what becomes it, into one line that names it.

    An error about another file passes as it is.
    """
    try:
        yield
    except FileExistsError as error:
        if path.exists() and not path.is_dir() and error.errno is not None:
            raise StorageFailed(f"{path}: a file is in the way of a folder") from error
        raise
    except NotADirectoryError as error:
        raise StorageFailed(obstacle(path) or f"{path}: {error.strerror}") from error
    except FileNotFoundError as error:
        if error.filename is None or not Path(error.filename).is_relative_to(path.parent):
            raise
        raise StorageFailed(f"{path}: {error.strerror}; was the folder removed meanwhile?") from error
    except OSError as error:
        if error.errno not in PLACE_ERRORS:
            raise
        raise StorageFailed(f"{path}: {error.strerror}; {PLACE_ERRORS[error.errno]}") from error


def _open_aside(target: Path) -> tuple[Path, int]:
    """Make a locked folder beside `target`; a sweeper may catch it between the two steps, so try again."""
    while True:
        aside = target.with_name(f"{ASIDE_PREFIX}{target.name}-{secrets.token_hex(4)}")
        aside.mkdir()
        lock = try_lock(aside)
        if lock is not None and aside.exists():
            return aside, lock
        if lock is not None:
            os.close(lock)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
