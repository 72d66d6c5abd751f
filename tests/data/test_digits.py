"""The embedded digits, made from the scikit-learn that is installed."""

import dataclasses
import hashlib
import sys

import numpy as np
import pytest

from tasks.data import digits
from tasks.data.dataset import DIGITS, Archive
from tasks.data.idx import parse_idx
from tasks.errors import DownloadFailed


@pytest.fixture(scope="module")
def contents():
    """The four archives."""
    pytest.importorskip("sklearn")
    return digits.make_archives(DIGITS)


def test_archives_have_the_bytes_of_the_table(contents):
    """Each archive has the checksum that the table of datasets pins."""
    assert DIGITS.checksums == {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def test_images_and_labels_are_split_as_declared(contents):
    """1,397 images for training and validation, 400 for tests, each with its label, in all ten classes."""
    found = [parse_idx(contents[archive.name], dimensions=dims, source="") for archive, dims in
             zip(DIGITS.archives, (3, 1, 3, 1), strict=True)]  # fmt: skip
    assert [(1397, 28, 28), (1397,), (400, 28, 28), (400,)] == [values.shape for values in found]
    assert 1397 == DIGITS.training_images + DIGITS.validation_images
    assert set(range(10)) == set(found[1]) == set(found[3])


def test_images_are_enlarged_pixel_by_pixel():
    """Each pixel becomes 3x3 within a black border of two, and 16 becomes 255."""
    image = np.zeros((1, 8, 8), np.uint8)
    image[0, 0, 0], image[0, 7, 7] = 16, 8
    expected = np.zeros((28, 28), np.uint8)
    expected[2:5, 2:5] = 255
    expected[23:26, 23:26] = 127
    np.testing.assert_array_equal(expected[None], digits.enlarge(image))


def test_without_scikit_learn_the_error_says_how_to_get_it(monkeypatch):
    """Where scikit-learn is not installed, the error names the extra that brings it."""
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(DownloadFailed, match=r"^dataset 'digits' comes with scikit-learn.*mnist-versions\[digits\]"):
        digits.make_archives(DIGITS)


def test_other_digits_than_the_pinned_are_refused():
    """Data that changed with scikit-learn is never used silently."""
    pytest.importorskip("sklearn")
    other = dataclasses.replace(DIGITS, test_labels=Archive("t10k-labels-idx1-ubyte", "0" * 64, 408))
    with pytest.raises(DownloadFailed, match=r"^t10k-labels-idx1-ubyte made of .* has SHA-256 73f9.*, expected 0000"):
        digits.make_archives(other)
