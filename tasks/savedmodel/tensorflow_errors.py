"""What TensorFlow says when it fails, in one line, and as the error that it is."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from tasks.errors import ExportFailed


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Let TensorFlow write at `path` in the block, and tell what it fails at as others do.

    Raises:
        OSError: the disk is full.
        ExportFailed: anything else.
    """
    try:
        yield
    except tf.errors.OpError as error:
        reason = os.strerror(errno.ENOSPC)
        if reason in error.message:  # in the middle of a dozen lines about the graph
            raise OSError(errno.ENOSPC, reason, str(path)) from error
        raise ExportFailed(f"{path}: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """The line of TensorFlow's message that says why: the first, or what follows the name of the failed node."""
    lines = str(error).splitlines()
    node = next((number for number, line in enumerate(lines) if line.startswith("Node: ")), -1)
    return lines[node + 1]
