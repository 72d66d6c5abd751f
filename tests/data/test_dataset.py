"""The table of datasets."""

import dataclasses
import hashlib

import pytest

from tasks.data.dataset import DATASETS, DIGITS, MNIST, Archive, find_dataset
from tasks.errors import InvalidParameter

SHIPPED = (MNIST, DIGITS)


def test_datasets_are_found_by_name():
    """Each dataset is in the table under its own name."""
    assert MNIST is find_dataset("mnist")
    assert DIGITS is find_dataset("digits")
    assert all(name == dataset.name for name, dataset in DATASETS.items())


@pytest.mark.parametrize("name", ["minst", "", "MNIST"])
def test_an_unknown_dataset_is_refused(name):
    """The error names what was asked for and what there is."""
    with pytest.raises(InvalidParameter, match=rf"^dataset = '{name}': unknown; allowed are .*digits, mnist"):
        find_dataset(name)


def test_mnist_comes_from_mirrors_and_digits_do_not():
    """A dataset without mirrors is embedded."""
    assert not MNIST.is_embedded
    assert DIGITS.is_embedded


def test_the_first_5000_images_of_mnist_are_for_validation():
    """The split of the tutorial."""
    assert (55000, 5000) == (MNIST.training_images, MNIST.validation_images)


@pytest.mark.parametrize("dataset", SHIPPED, ids=lambda dataset: dataset.name)
def test_every_archive_has_a_name_and_a_checksum_of_its_own(dataset):
    """The four archives are told apart by name and by content, and `checksums` has them all."""
    assert 4 == len(dataset.archives)
    assert {archive.name: archive.sha256 for archive in dataset.archives} == dataset.checksums
    assert 4 == len(set(dataset.checksums.values()))
    assert {64} == {len(checksum) for checksum in dataset.checksums.values()}


def test_an_archive_lies_where_its_very_bytes_lie(tmp_path):
    """Another content, a folder of the name and nothing at all are not the archive."""
    archive = Archive("archive", hashlib.sha256(b"content").hexdigest())
    assert not archive.lies_in(tmp_path)
    (tmp_path / "archive").write_bytes(b"another")
    assert not archive.lies_in(tmp_path)
    (tmp_path / "archive").write_bytes(b"content")
    assert archive.lies_in(tmp_path)
    (tmp_path / "folder" / "archive").mkdir(parents=True)
    assert not archive.lies_in(tmp_path / "folder")


@pytest.mark.mnist
def test_the_original_archives_have_the_pinned_checksums(mnist_dir):
    """What was published as MNIST is what this package calls mnist."""
    assert [True] * 4 == [archive.lies_in(mnist_dir) for archive in MNIST.archives]


def test_a_dataset_cannot_be_changed_by_accident():
    """The entries of the table are frozen."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        MNIST.training_images = 1
