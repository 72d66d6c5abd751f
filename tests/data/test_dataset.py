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
    archive = Archive("archive", hashlib.sha256(b"content").hexdigest(), 7)
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


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"class_names": ("a", "b", "a")}, r"class_names: 'a' is there twice; allowed is each name once"),
        (
            {"class_names": ["a", "b"]},
            r"class_names: allowed is a tuple of 2 to 256 texts, one for each label from 0 on",
        ),
        ({"class_names": "ab"}, r"class_names: allowed is a tuple of 2 to 256 texts"),
        ({"class_names": (0, 1)}, r"class_names: allowed is a tuple of 2 to 256 texts"),
        ({"class_names": ("a",)}, r"class_names: allowed is a tuple of 2 to 256 texts"),
        ({"class_names": tuple(map(str, range(257)))}, r"class_names: allowed is a tuple of 2 to 256 texts"),
        ({"shape": (28, 28)}, r"shape = \(28, 28\): allowed is a tuple \(height, width, channels\), each above 0"),
        ({"shape": [28, 28, 1]}, r"shape = \[28, 28, 1\]: allowed is a tuple"),
        ({"shape": (28, 0, 1)}, r"shape = \(28, 0, 1\): allowed is a tuple"),
        ({"validation_images": 0}, r"training_images and validation_images: allowed are whole numbers above 0"),
    ],
    ids=str,
)
def test_a_dataset_that_cannot_be_is_refused(changed, text):
    """The error names the dataset, what is wrong with it, and what is allowed."""
    with pytest.raises(InvalidParameter, match=f"^dataset 'digits': {text}"):
        dataclasses.replace(DIGITS, **changed)


def test_as_many_classes_as_a_byte_can_tell_apart():
    """256 names are allowed."""
    assert 256 == len(dataclasses.replace(DIGITS, class_names=tuple(map(str, range(256)))).class_names)


def test_a_dataset_cannot_be_changed_by_accident():
    """The entries of the table are frozen."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        MNIST.training_images = 1
