"""The IDX format of the MNIST database: bytes to arrays and back.

Four bytes of magic number (two zeros, 0x08 for unsigned bytes, the number of dimensions), then each dimension
as a big-endian 32-bit count, then the values; described by Y. LeCun, C. Cortes and C. Burges with the data.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.errors import InvalidArchive

MAGIC_BYTES = 4
UNSIGNED_BYTE = 0x08
GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: Path, *, dimensions: int) -> NDArray[np.uint8]:
    """Decode one IDX file, gzipped or not, into a read-only uint8 array of the shape that its header declares.

    It must have that many `dimensions`: 3 for images (count, rows, columns), 4 with channels, 1 for labels.

    Raises:
        InvalidArchive: not IDX, another number of dimensions, truncated, or bytes left over.
    """
    content = path.read_bytes()
    if content.startswith(GZIP_MAGIC):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise InvalidArchive(f"{path}: the gzip stream is damaged or cut short ({error})") from error
    return parse_idx(content, dimensions=dimensions, source=str(path))


def parse_idx(content: bytes, *, dimensions: int, source: str) -> NDArray[np.uint8]:
    """Decode IDX bytes; `source` is how errors call them. Returns and raises as `read_idx`."""
    if len(content) < MAGIC_BYTES:
        raise InvalidArchive(f"{source}: {len(content)} bytes are too few for the magic number of an IDX file")
    zeros, kind, found = struct.unpack(">HBB", content[:MAGIC_BYTES])
    if zeros != 0 or kind != UNSIGNED_BYTE:
        hint = " (it looks like a web page)" if content.lstrip()[:1] == b"<" else ""
        raise InvalidArchive(f"{source}: starts with {content[:4].hex()}, not with an IDX magic number 000008..{hint}")
    if found != dimensions:
        names = {1: "labels (1 dimension)", 3: "images (3 dimensions)", 4: "images with channels (4 dimensions)"}
        channels_differ = {found, dimensions} == {3, 4}
        raise InvalidArchive(
            f"{source}: expected {names.get(dimensions, dimensions)}, found {names.get(found, found)}; "
            f"{'does the dataset declare other channels?' if channels_differ else 'are two files swapped?'}"
        )
    header = MAGIC_BYTES + 4 * dimensions
    if len(content) < header:
        raise InvalidArchive(f"{source}: the header is cut short ({len(content)} of {header} bytes)")
    shape = struct.unpack(f">{dimensions}I", content[MAGIC_BYTES:header])
    expected = header + math.prod(shape)
    if len(content) != expected:
        trouble = "truncated" if len(content) < expected else "bytes left over"
        raise InvalidArchive(
            f"{source}: {trouble}: the header declares {'x'.join(map(str, shape))} values, "
            f"that is {expected} bytes with it, and {len(content)} are there"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def format_idx(values: NDArray[np.uint8]) -> bytes:
    """Encode a uint8 array of any shape as IDX bytes."""
    return struct.pack(f">HBB{values.ndim}I", 0, UNSIGNED_BYTE, values.ndim, *values.shape) + values.tobytes()
