"""IDX bytes, good and damaged."""

import gzip
import struct

import numpy as np
import pytest

from tasks.data.idx import format_idx, parse_idx, read_idx
from tasks.errors import InvalidArchive

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
LABELS = np.array([3, 1, 4, 1, 5], np.uint8)


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
def test_files_are_read_packed_or_not(tmp_path, pack):
    """A gzipped file is known by its first bytes, whatever its name."""
    (tmp_path / "file").write_bytes(pack(format_idx(IMAGES)))
    np.testing.assert_array_equal(IMAGES, read_idx(tmp_path / "file", dimensions=3))


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
        (format_idx(IMAGES) + b"\0", "bytes left over: the header declares 2x3x4 values, .* and 41 are there"),
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
def test_a_damaged_gzip_stream_is_refused(tmp_path, change):
    """A gzipped file that is cut short, changed or followed by other bytes is named as damaged."""
    path = tmp_path / "file.gz"
    path.write_bytes(change(gzip.compress(format_idx(IMAGES), mtime=0)))
    with pytest.raises(InvalidArchive, match=f"^{path}: the gzip stream is damaged or cut short"):
        read_idx(path, dimensions=3)
