"""What TensorFlow fails at, told as the system tells it."""

import errno

import pytest

from tasks.errors import ExportFailed
from tasks.savedmodel.tensorflow_errors import reason_of
from tests import disks
from tests.savedmodel.versions import write


def test_a_full_disk_is_told(tmp_path):
    """A disk that takes no more is the error of the system that it is, with the folder."""
    with disks.mounted(tmp_path / "disk", size=1 << 14) as disk, pytest.raises(OSError, match=str(disk)) as caught:
        write(disk / "model")
    assert errno.ENOSPC == caught.value.errno


def test_a_file_that_may_not_grow_is_told(tmp_path):
    """What else keeps TensorFlow from writing ends in one line that names the folder."""
    with (
        disks.file_size_limit(4096),
        pytest.raises(ExportFailed, match=f"^{tmp_path}: [^\n]*; File too large$"),
    ):
        write(tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("one line", "one line"),
        ("Graph execution error:\n\nDetected at node\nNode: 'save/SaveV2'\ndisk on fire\n\t [[more]]", "disk on fire"),
        ("first\nsecond", "first"),
    ],
)
def test_the_line_that_says_why_is_found(text, reason):
    """It is the first one, or what follows the name of the node that failed."""
    assert reason_of(ValueError(text)) == reason
