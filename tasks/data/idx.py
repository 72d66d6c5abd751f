"""The IDX format of the MNIST database: bytes to arrays and back.

Four bytes of magic number (two zeros, 0x08 for unsigned bytes, the number of dimensions), then each dimension
as a big-endian 32-bit count, then the values; described by Y. LeCun, C. Cortes and C. Burges with the data.
"""

import gzip
import io
import math
import struct
import zlib
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from tasks.errors import InvalidArchive

MAGIC_BYTES = 4
UNSIGNED_BYTE = 0x08
GZIP_MAGIC = b"\x1f\x8b"
BLOCK = 1 << 20  # bytes that are unpacked at once
MOST_VALUES = 1 << 40  # in one archive, where the dataset does not say how many images it has


def parse_idx(content: bytes, *, dimensions: int, source: str, most: int = MOST_VALUES) -> NDArray[np.uint8]:
    """Decode one IDX file, gzipped or not, into a read-only uint8 array of the shape that its header declares.

    It must have that many `dimensions`: 3 for images (count, rows, columns), 4 with channels, 1 for labels. No more
    is unpacked than the header declares, and nothing if that is more than `most` values. Errors call it `source`.

    Raises:
        InvalidArchive: not IDX, another number of dimensions, too many values, truncated, or bytes left over.
    """
    if not content.startswith(GZIP_MAGIC):
        return _parse(io.BytesIO(content), dimensions, source, most)
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
            return _parse(stream, dimensions, source, most)  # type: ignore[arg-type]  # it reads as a BinaryIO does
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidArchive(f"{source}: the gzip stream is damaged or cut short ({error})") from error


def _parse(stream: BinaryIO, dimensions: int, source: str, most: int) -> NDArray[np.uint8]:
    head = stream.read(64)
    if len(head) < MAGIC_BYTES:
        raise InvalidArchive(f"{source}: {len(head)} bytes are too few for the magic number of an IDX file")
    zeros, kind, found = struct.unpack(">HBB", head[:MAGIC_BYTES])
    if zeros != 0 or kind != UNSIGNED_BYTE:
        hint = " (it looks like a web page)" if head.lstrip()[:1] == b"<" else ""
        raise InvalidArchive(f"{source}: starts with {head[:4].hex()}, not with an IDX magic number 000008..{hint}")
    if found != dimensions:
        names = {1: "labels (1 dimension)", 3: "images (3 dimensions)", 4: "images with channels (4 dimensions)"}
        channels_differ = {found, dimensions} == {3, 4}
        raise InvalidArchive(
            f"{source}: expected {names.get(dimensions, dimensions)}, found {names.get(found, found)}; "
            f"{'does the dataset declare other channels?' if channels_differ else 'are two files swapped?'}"
        )
    header = MAGIC_BYTES + 4 * dimensions
    if len(head) < header:
        raise InvalidArchive(f"{source}: the header is cut short ({len(head)} of {header} bytes)")
    shape = struct.unpack(f">{dimensions}I", head[MAGIC_BYTES:header])
    declared = "x".join(map(str, shape))
    if 0 in shape[1:]:
        raise InvalidArchive(f"{source}: the header declares {declared} values: allowed are sizes from 1 on")
    # the product of all but an empty count, too, or a shape of no values could be one that no array has
    if math.prod(max(1, size) for size in shape) > most:
        raise InvalidArchive(f"{source}: the header declares {declared} values, and at most {most:,} are expected")
    expected = math.prod(shape)
    values = head[header:] + _read_some(stream, header + expected + 1 - len(head))
    if len(values) != expected:
        trouble = "truncated" if len(values) < expected else "bytes left over"
        there = header + len(values) if len(values) < expected else "more"
        raise InvalidArchive(
            f"{source}: {trouble}: the header declares {declared} values, "
            f"that is {header + expected} bytes with it, and {there} are there"
        )
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def _read_some(stream: BinaryIO, most: int) -> bytes:
    """What is left of a stream, that many bytes at most; memory is taken for what is there alone."""
    blocks = []
    while most > 0 and (block := stream.read(min(most, BLOCK))):
        blocks.append(block)
        most -= len(block)
    return b"".join(blocks)


def format_idx(values: NDArray[np.uint8]) -> bytes:
    """Encode a uint8 array of any shape as IDX bytes."""
    return struct.pack(f">HBB{values.ndim}I", 0, UNSIGNED_BYTE, values.ndim, *values.shape) + values.tobytes()
