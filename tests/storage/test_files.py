"""Reading what others may have put there."""

import socket

import pytest

from tasks.storage import checksums
from tasks.storage.files import find_irregular, read_regular


def test_a_file_is_read_also_behind_a_link(tmp_path):
    """A link to a file is as good as the file, unless none is to be followed."""
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert b"content" == read_regular(tmp_path / "file") == read_regular(tmp_path / "link")
    with pytest.raises(OSError, match="symbolic links"):
        read_regular(tmp_path / "link", follow=False)


def test_nobody_waits_for_what_is_no_file(tmp_path, make_fifo):
    """A FIFO, a device, a socket and a folder are refused at once."""
    make_fifo(tmp_path / "fifo")
    (tmp_path / "device").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for name in ("fifo", "device", "socket"):
            with pytest.raises(OSError, match=r"Not a regular file|No such device"):
                read_regular(tmp_path / name)
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path)


def test_what_must_not_be_opened_is_found(tmp_path, make_fifo):
    """Files, folders, and links to them or to nothing are fine; a FIFO anywhere below is not."""
    (tmp_path / "1" / "variables").mkdir(parents=True)
    (tmp_path / "1" / "file").touch()
    (tmp_path / "1" / "link").symlink_to("file")
    (tmp_path / "1" / "loose").symlink_to("nothing")
    assert find_irregular(tmp_path / "1") is None
    make_fifo(tmp_path / "1" / "variables" / "fifo")
    assert tmp_path / "1" / "variables" / "fifo" == find_irregular(tmp_path / "1")


def test_checksums_of_nothing_are_damage(tmp_path):
    """A `checksums.json` of `{}` speaks for no file, so the folder is not intact."""
    (tmp_path / checksums.CHECKSUMS).write_text("{}")
    assert not checksums.is_intact(tmp_path)


def test_a_sealed_folder_with_a_fifo_is_not_intact(tmp_path, make_fifo):
    """A FIFO in the place of a sealed file or of its checksums is damage like any other."""
    for name in ("file", checksums.CHECKSUMS):
        folder = tmp_path / f"with-{name}"
        folder.mkdir()
        (folder / "file").write_bytes(b"")
        checksums.seal(folder)
        assert checksums.is_intact(folder)
        make_fifo(folder / name)
        assert not checksums.is_intact(folder)
