"""Locks on files and folders (`flock`): the kernel lets go of one with the process that holds it."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

# No link is followed, or a lock would be taken (and a file made) elsewhere; nothing waits for a FIFO's other end
_AS_IT_IS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Wait for the lock of a file, which is made if it is not there, and hold it for as long as the block runs.

    Raises:
        OSError: it is a link or no file, or its file system has no locks.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | _AS_IT_IS, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def try_lock(path: Path) -> int | None:
    """A descriptor that holds the lock of a file or folder, or None where another process does or it is gone.

    Raises:
        OSError: it may not be read, is a link, or its file system has no locks.
    """
    try:
        handle = os.open(path, os.O_RDONLY | _AS_IT_IS)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return handle
