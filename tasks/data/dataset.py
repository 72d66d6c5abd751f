"""The datasets that can be trained on: what their archives are called, and the bytes that each must have.

A further dataset in the same format (images and labels in four IDX files, gzipped or not) is one more entry in
`DATASETS`. Nothing here imports more than the standard library: every run reads this table.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tasks.errors import InvalidArchive, InvalidParameter
from tasks.recipes import registry
from tasks.recipes.registry import Registry
from tasks.storage import files

LEAST_RATE = 10_000  # bytes a second that a mirror has to send
AGAIN = "remove it and run again: it is fetched anew"
MOST_CLASSES = 256  # what a label of one byte can tell apart


@dataclass(frozen=True)
class Archive:
    """One file of a dataset: its name in every mirror, and the SHA-256 and the number of bytes that it must have."""

    name: str
    sha256: str
    size: int

    def lies_in(self, directory: Path) -> bool:
        """Whether it is there with the right bytes."""
        try:
            self.read(directory)
        except (InvalidArchive, OSError):
            return False
        return True

    def read(self, directory: Path) -> bytes:
        """Its bytes, which are read once and are the very ones that have the checksum.

        Raises:
            InvalidArchive: other bytes are there, or no file; the text names it and says what to do.
        """
        path = directory / self.name
        try:
            with files.open_regular(path) as stream:
                content = stream.read(self.size + 1)
        except OSError as error:
            raise InvalidArchive(f"{path}: {error.strerror}; {AGAIN}") from error
        if len(content) != self.size:
            there = "more" if len(content) > self.size else f"{len(content):,}"
            raise InvalidArchive(f"{path}: has {there} bytes, expected {self.size:,}; {AGAIN}")
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise InvalidArchive(f"{path}: has SHA-256 {found}, expected {self.sha256}; {AGAIN}")
        return content


@dataclass(frozen=True)
class Dataset:
    """Four IDX archives and the split that is made of them.

    `validation_images` are the first of the training archive, as in TensorFlow's MNIST tutorial;
    `training_images` are the rest. A dataset without `mirrors` is built from an installed package. `shape` is that of
    one image: height, width, channels. Label i stands for `class_names[i]`.

    Raises:
        InvalidParameter: it declares what no dataset can have, such as the same class name twice.
    """

    name: str
    train_images: Archive
    train_labels: Archive
    test_images: Archive
    test_labels: Archive
    training_images: int
    validation_images: int
    mirrors: tuple[str, ...] = ()
    shape: tuple[int, int, int] = (28, 28, 1)
    class_names: tuple[str, ...] = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")

    def __post_init__(self) -> None:
        shape, names = self.shape, self.class_names
        if not (isinstance(shape, tuple) and len(shape) == 3 and min(shape) > 0):  # noqa: PLR2004 - those named below
            self._refuse(f"shape = {shape}: allowed is a tuple (height, width, channels), each above 0")
        if not (
            isinstance(names, tuple) and 1 < len(names) <= MOST_CLASSES and all(isinstance(one, str) for one in names)
        ):
            self._refuse(f"class_names: allowed is a tuple of 2 to {MOST_CLASSES} texts, one for each label from 0 on")
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            self._refuse(f"class_names: {', '.join(map(repr, repeated))} is there twice; allowed is each name once")
        if min(self.training_images, self.validation_images) < 1:
            self._refuse("training_images and validation_images: allowed are whole numbers above 0")

    def _refuse(self, reason: str) -> NoReturn:
        raise InvalidParameter(f"dataset {self.name!r}: {reason}")

    @property
    def archives(self) -> tuple[Archive, ...]:
        """The four archives in a fixed order: training images and labels, test images and labels."""
        return (self.train_images, self.train_labels, self.test_images, self.test_labels)

    @property
    def size(self) -> int:
        """Bytes of all four."""
        return sum(archive.size for archive in self.archives)

    @property
    def is_embedded(self) -> bool:
        """Whether it comes with an installed package instead of from a mirror."""
        return not self.mirrors

    @property
    def checksums(self) -> dict[str, str]:
        """Archive name -> SHA-256: what identifies the data, known before any of it is there."""
        return {archive.name: archive.sha256 for archive in self.archives}


# Checksums of the files that Y. LeCun, C. Cortes and C. Burges published as "The MNIST database of handwritten
# digits"; both mirrors carry the same bytes, and the first is the one that TensorFlow's tutorial uses.
MNIST = Dataset(
    name="mnist",
    train_images=Archive(
        "train-images-idx3-ubyte.gz", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", 9912422
    ),
    train_labels=Archive(
        "train-labels-idx1-ubyte.gz", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", 28881
    ),
    test_images=Archive(
        "t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", 1648877
    ),
    test_labels=Archive(
        "t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", 4542
    ),
    training_images=55000,
    validation_images=5000,
    mirrors=(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
)

# The 1,797 digits that scikit-learn carries (UCI "Optical Recognition of Handwritten Digits"), for a machine
# without a network; `tasks.data.digits` writes them as IDX files with these very bytes.
DIGITS = Dataset(
    name="digits",
    train_images=Archive(
        "train-images-idx3-ubyte", "79b994d4673afb7bbc1a6dcbcc925fff2c37d6ccacc9abfaeac6ec89527cf61a", 1095264
    ),
    train_labels=Archive(
        "train-labels-idx1-ubyte", "7d234411951a44820b6ba175615897a23068803c9be0c33997aef580271ac93c", 1405
    ),
    test_images=Archive(
        "t10k-images-idx3-ubyte", "9b6259cbf1788d330657914438b0887af846eee56d6ea80fd916353d4cd938d1", 313616
    ),
    test_labels=Archive(
        "t10k-labels-idx1-ubyte", "73f9550e5db41a9aa561e08371b8c287b3647c97dd3fc2d9cad522f916053e93", 408
    ),
    training_images=1197,
    validation_images=200,
)

DATASETS: Registry[Dataset] = registry.DATASETS
DATASETS.update({dataset.name: dataset for dataset in (MNIST, DIGITS)})
find_dataset = DATASETS.find
