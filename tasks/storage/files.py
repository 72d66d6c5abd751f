"""Read where others may write: regular files alone, so that nobody waits for a FIFO's other end, or reads a device."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

NO_FILE = "Not a regular file"


def open_regular(path: Path, *, follow: bool = True) -> BinaryIO:
    """Open a file to read it, at once whatever bears the name; with `follow`, one that a link points to, too.

    Raises:
        OSError: it is a FIFO, a socket, a device or a folder; with ENXIO, unless the kernel says more.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    handle = os.open(path, flags if follow else flags | os.O_NOFOLLOW)
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.ENXIO, NO_FILE, str(path))


def read_regular(path: Path, *, follow: bool = True) -> bytes:
    """The content of a file; raises as `open_regular`."""
    with open_regular(path, follow=follow) as stream:
        return stream.read()


def find_irregular(directory: Path) -> Path | None:
    """Something below a folder that is neither a file nor a folder, nor a link to one, and must not be opened."""
    for folder, _, names in os.walk(directory):
        for name in names:
            path = Path(folder, name)
            if path.exists() and not path.is_file():
                return path
    return None
