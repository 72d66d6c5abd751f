"""What the operating system refuses."""

import os
from pathlib import Path

import pytest

from tasks.storage import disk_errors


def names(directory):
    return sorted(path.name for path in directory.iterdir())


@pytest.fixture
def ordinary_user():
    """For root alone: be somebody else as far as access(2) asks (it looks at the real user, not the effective one)."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(65534, 0, 0)
    yield
    os.setresuid(0, 0, 0)


def test_errors_that_are_not_of_the_system_pass(tmp_path):
    """An OSError without a number, such as a library makes for itself, is not dressed up as one of the disk."""
    with pytest.raises(OSError, match=r"^of a library$"), disk_errors.explain_os_errors(tmp_path):
        raise OSError("of a library")


def test_no_obstacle_where_a_folder_can_be_made(tmp_path):
    """Neither a folder that is there nor one that can be made is an obstacle, and looking makes nothing."""
    assert None is disk_errors.obstacle(tmp_path)
    assert None is disk_errors.obstacle(tmp_path / "a" / "b")
    assert [] == names(tmp_path)


def test_a_file_is_an_obstacle(tmp_path):
    """A file on the way to the folder is named."""
    (tmp_path / "a").write_text("")
    expected = f"{tmp_path / 'a' / 'b'}: {tmp_path / 'a'} is a file where a folder is needed"
    assert expected == disk_errors.obstacle(tmp_path / "a" / "b")


@pytest.mark.usefixtures("ordinary_user")
def test_a_folder_that_is_not_writable_is_an_obstacle():
    """The nearest folder that is there must be writable for this user."""
    assert "/no/such/folder: / is not writable for this user" == disk_errors.obstacle(Path("/no/such/folder"))
