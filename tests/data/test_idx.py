"""IDX bytes, good and damaged."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest

from tasks.data.idx import format_idx, parse_idx
from tasks.errors import InvalidArchive

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
LABELS = np.array([3, 1, 4, 1, 5], np.uint8)


def header(*shape):
    """An IDX file that ends with its header."""
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)


def test_bytes_are_those_of_the_format():
    """Magic number, big-endian counts, values: as the MNIST database describes it."""
    expected = bytes([0, 0, 8, 1, 0, 0, 0, 5, 3, 1, 4, 1, 5])
    assert expected == format_idx(LABELS)


@pytest.mark.parametrize("values", [IMAGES, LABELS, np.zeros((0, 28, 28), np.uint8)], ids=["images", "labels", "none"])
def test_what_is_formatted_is_parsed(values):
    """Shape, type and values survive the way to bytes and back."""
    found = parse_idx(format_idx(values), dimensions=values.ndim, source="file")
    assert np.uint8 == found.dtype
    assert values.shape == found.shape
    np.testing.assert_array_equal(values, found)
    assert not found.flags.writeable


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_bytes_are_read_packed_or_not(pack):
    """A gzipped file is known by its first bytes."""
    np.testing.assert_array_equal(IMAGES, parse_idx(pack(format_idx(IMAGES)), dimensions=3, source="file"))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "0 bytes are too few for the magic number of an IDX file"),
        (b"\0\0\x08", "3 bytes are too few"),
        (b"\x01" + format_idx(IMAGES)[1:], "starts with 01000803, not with an IDX magic number 000008"),
        (struct.pack(">HBB", 0, 0x0D, 3), "starts with 00000d03, not with"),
        (b"<!DOCTYPE html><html>", r"starts with 3c21444f, .*\(it looks like a web page\)"),
        (b"\n <html>", r".*\(it looks like a web page\)"),
        (
            format_idx(LABELS),
            r"expected images \(3 dimensions\), found labels \(1 dimension\); are two files swapped\?",
        ),
        (format_idx(IMAGES[0]), r"expected images \(3 dimensions\), found 2; are two files swapped\?"),
        (format_idx(IMAGES)[:13], r"the header is cut short \(13 of 16 bytes\)"),
        (format_idx(IMAGES)[:-1], "truncated: the header declares 2x3x4 values, that is 40 bytes with it, and 39 are"),
        (header(0, 2**32 - 1, 2**32 - 1), "the header declares 0x4294967295x4294967295 values, and at most"),
        (header(2**32 - 1, 2**32 - 1, 2**32 - 1), "the header declares .* values, and at most 1,099,511,627,776 are"),
        (header(2, 0, 4), "the header declares 2x0x4 values: allowed are sizes from 1 on"),
        (header(2**30, 1, 1), "truncated: the header declares 1073741824x1x1 values"),
        (format_idx(IMAGES) + b"\0", "bytes left over: the header declares 2x3x4 values, .* and more are there"),
    ],
)
def test_damaged_bytes_are_refused(content, text):
    """The error names the source, what was expected and what was found."""
    with pytest.raises(InvalidArchive, match=f"^some/file: {text}"):
        parse_idx(content, dimensions=3, source="some/file")


def test_images_in_the_place_of_labels_are_refused():
    """Swapped archives are told as such in both directions."""
    with pytest.raises(InvalidArchive, match=r"expected labels \(1 dimension\), found images \(3 dimensions\)"):
        parse_idx(format_idx(IMAGES), dimensions=1, source="file")


def cut_short(packed):
    return packed[:-9]


def damaged(packed):
    return packed[:12] + bytes([packed[12] ^ 0xFF]) + packed[13:]


def followed_by_others(packed):
    return packed + b"trailing"


@pytest.mark.parametrize("change", [cut_short, damaged, followed_by_others])
def test_a_damaged_gzip_stream_is_refused(change):
    """A gzipped file that is cut short, changed or followed by other bytes is named as damaged."""
    content = change(gzip.compress(format_idx(IMAGES), mtime=0))
    with pytest.raises(InvalidArchive, match=r"^file: the gzip stream is damaged or cut short"):
        parse_idx(content, dimensions=3, source="file")


def test_no_more_is_unpacked_than_the_header_declares():
    """Of a small file that unpacks to gigabytes, or declares more than it may hold, next to nothing is unpacked."""
    bomb = gzip.compress(format_idx(IMAGES) + bytes(200_000_000), compresslevel=1)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidArchive, match=r"^file: bytes left over: the header declares 2x3x4 values"):
            parse_idx(bomb, dimensions=3, source="file")
        with pytest.raises(
            InvalidArchive, match=r"^file: the header declares 2x3x4 values, and at most 20 are expected"
        ):
            parse_idx(bomb, dimensions=3, source="file", most=20)
        assert 10_000_000 > tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
