"""What the operating system refuses, told in one line that names the place and the way out."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from tasks.errors import StorageFailed

_FULL, _CLOSED = "make room or choose another place", "choose another place, or change who may write there"
PLACE_ERRORS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _FULL),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _CLOSED),
    **dict.fromkeys((errno.EIO, errno.ENAMETOOLONG), "choose another place"),
    **dict.fromkeys((errno.ENOLCK, errno.EOPNOTSUPP), "choose a place whose file system has locks (flock)"),
    **dict.fromkeys((errno.ELOOP, errno.ENXIO), "no link, FIFO or device is used there; remove it"),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "allow more open files (ulimit -n)"),
}


@contextlib.contextmanager
def explain_os_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system refuses at `path`, or below what becomes it, into a StorageFailed of one line.

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


def check_writable(path: Path) -> None:
    """Make sure that a folder can be written at `path`; raises StorageFailed."""
    if found := obstacle(path):
        raise StorageFailed(found)
