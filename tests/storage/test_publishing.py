"""Publishing whole or not at all: with real processes, a real kill, and a real full disk."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from tasks.errors import StorageFailed
from tasks.storage import checksums, publishing
from tests import disks

WRITE_AND_WAIT = """
import sys
from pathlib import Path
from tasks.storage import publishing
with publishing.publish_directory(Path(sys.argv[1])) as aside:
    (aside / "half").write_text("half of it")
    print(aside, flush=True)
    sys.stdin.read()
"""

WITHOUT_LOCKS = """
import sys
from pathlib import Path
from tasks.errors import StorageFailed
from tasks.storage import publishing
from tests import system_calls
system_calls.refuse(system_calls.FLOCK)
try:
    publishing.publish_file(Path(sys.argv[1]), b"content")
except StorageFailed as error:
    print(error)
"""

UNREADABLE = """
import os, sys
from pathlib import Path
from tasks.errors import StorageFailed
from tasks.storage import publishing
if os.geteuid() == 0:
    os.chmod(Path(sys.argv[1]).parent, 0o777)
    os.setuid(65534)
os.umask(0o777)
try:
    publishing.publish_file(Path(sys.argv[1]), b"content")
except StorageFailed as error:
    print(error)
"""

APPEND = """
import sys
from pathlib import Path
from tasks.storage import publishing
for number in range(100):
    publishing.append_line(Path(sys.argv[1]), f"{sys.argv[2]} {number} " + "x" * 300)
"""


def names(directory):
    return sorted(path.name for path in directory.iterdir())


@pytest.fixture
def writer(tmp_path):
    """A live process inside `publish_directory`, and the folder that it is filling."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITE_AND_WAIT, tmp_path / "2"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        process.aside = Path(process.stdout.readline().strip())
        yield process
        process.kill()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB."""
    with disks.mounted(tmp_path / "disk", size=1 << 16) as disk:
        yield disk


def test_a_folder_appears_whole_when_the_block_ends(tmp_path):
    """Nothing bears the name while the folder is filled; afterwards it is there with all that was written."""
    target = tmp_path / "base" / "1"
    with publishing.publish_directory(target) as aside:
        (aside / "sub").mkdir()
        (aside / "sub" / "file").write_text("content")
        assert not target.exists()
        assert target.parent == aside.parent
    assert "content" == (target / "sub" / "file").read_text()
    assert ["1"] == names(target.parent)


@pytest.mark.parametrize("exception", [ValueError, KeyboardInterrupt])
def test_an_exception_in_the_block_leaves_nothing(tmp_path, exception):
    """What was written before the exception is removed, and the exception goes on."""
    with pytest.raises(exception), publishing.publish_directory(tmp_path / "1") as aside:
        (aside / "file").write_text("half")
        raise exception
    assert [] == names(tmp_path)


def test_somebody_who_was_faster_wins(tmp_path):
    """A folder that appeared meanwhile stays as it is, and the slower writer learns of it."""
    target = tmp_path / "1"
    with (
        pytest.raises(FileExistsError, match=f"{target} is there already"),
        publishing.publish_directory(target) as aside,
    ):
        (aside / "file").write_text("slow")
        with publishing.publish_directory(target) as other:
            (other / "file").write_text("fast")
    assert "fast" == (target / "file").read_text()
    assert ["1"] == names(tmp_path)


def test_a_plain_file_under_the_name_is_not_overwritten(tmp_path):
    """A file with the folder's name counts as somebody who was faster."""
    target = tmp_path / "1"
    target.write_text("a file")
    with pytest.raises(FileExistsError, match="is there already"), publishing.publish_directory(target):
        pass
    assert "a file" == target.read_text()


def test_a_folder_that_vanishes_under_the_writer_is_told(tmp_path):
    """A rename that fails although the name is free is explained by the place."""
    base = tmp_path / "base"
    with (
        pytest.raises(StorageFailed, match=f"{base / '1'}: No such file or directory"),
        publishing.publish_directory(base / "1") as aside,
    ):
        shutil.rmtree(aside)


def test_two_writers_of_one_name_do_not_share_a_folder(tmp_path):
    """Each writer gets an empty folder of its own."""
    with publishing.publish_directory(tmp_path / "1") as first:
        (first / "file").write_text("first")
        with pytest.raises(ZeroDivisionError), publishing.publish_directory(tmp_path / "1") as second:
            assert [] == names(second)
            raise ZeroDivisionError
        assert ["file"] == names(first)


def test_what_a_live_process_writes_is_not_swept(tmp_path, writer):
    """A folder whose writer is alive stays, whoever publishes beside it."""
    with publishing.publish_directory(tmp_path / "1"):
        pass
    assert [] == publishing.sweep(tmp_path)
    assert "half of it" == (writer.aside / "half").read_text()
    writer.communicate("")
    assert ["1", "2"] == names(tmp_path)


def test_what_a_killed_process_left_is_swept_by_the_next_writer(tmp_path, writer):
    """After kill -9 the leftover has no number for a name, and the next one who publishes beside it removes it."""
    writer.kill()
    writer.wait()
    assert [writer.aside.name] == names(tmp_path)
    assert writer.aside.name.startswith(publishing.ASIDE_PREFIX)
    with publishing.publish_directory(tmp_path / "1"):
        pass
    assert ["1"] == names(tmp_path)


def test_what_somebody_else_made_is_not_swept(tmp_path, writer):
    """Names that begin alike but do not end as ours, and links, FIFOs and files with the very name of ours, stay."""
    writer.kill()
    writer.wait()
    ours = writer.aside.rename(tmp_path / "kept")
    (tmp_path / f"{publishing.ASIDE_PREFIX}notes").mkdir()
    (tmp_path / f"{publishing.ASIDE_PREFIX}file-0123abcd").mkdir()
    theirs = names(tmp_path)
    for make in (writer.aside.touch, lambda: os.mkfifo(writer.aside), lambda: writer.aside.symlink_to(ours)):
        make()
        assert [] == publishing.sweep(tmp_path)
        writer.aside.unlink()
    assert theirs == names(tmp_path)
    assert "half of it" == (ours / "half").read_text()


def test_a_killed_writer_of_a_file_is_swept_by_the_next(tmp_path, writer):
    """Whoever publishes a file sweeps as well."""
    writer.kill()
    writer.wait()
    publishing.publish_file(tmp_path / "file", b"whole")
    assert ["file"] == names(tmp_path)


def test_a_place_without_locks_is_told(tmp_path):
    """A file system that refuses locks, as NFS may, ends the writer with one line, and nothing is left."""
    told = subprocess.run(
        [sys.executable, "-c", WITHOUT_LOCKS, tmp_path / "1"], capture_output=True, text=True, timeout=30, check=False
    )
    assert f"{tmp_path / '1'}: No locks available; choose a place whose file system has locks (flock)\n" == told.stdout
    assert [] == names(tmp_path)


def test_a_umask_that_takes_ones_own_rights_is_told():
    """Folders that their own maker may not read end the writer, and nothing is left."""
    with tempfile.TemporaryDirectory() as place:  # tmp_path is below a folder that is closed to all other users
        told = subprocess.run(
            [sys.executable, "-c", UNREADABLE, f"{place}/1"], capture_output=True, text=True, timeout=30, check=False
        )
        assert [] == names(Path(place))
    assert f"{place}/1: Permission denied; choose another place, or change who may write there\n" == told.stdout


def write_sealed(target, content):
    with publishing.publish_sealed(target) as aside:
        (aside / "file").write_text(content)


def test_a_damaged_folder_is_replaced(tmp_path):
    """A folder that is no longer what was sealed gives way to the new one, and nothing is left of it."""
    write_sealed(tmp_path / "1", "old")
    (tmp_path / "1" / "file").write_text("bad")
    write_sealed(tmp_path / "1", "new")
    assert "new" == (tmp_path / "1" / "file").read_text()
    assert checksums.is_intact(tmp_path / "1")
    assert ["1"] == names(tmp_path)


def test_an_intact_folder_is_kept(tmp_path):
    """Who comes second drops what was written, and takes the first one's for its own."""
    write_sealed(tmp_path / "1", "first")
    write_sealed(tmp_path / "1", "second")
    assert "first" == (tmp_path / "1" / "file").read_text()
    assert ["1"] == names(tmp_path)


def test_a_file_exists_error_of_the_block_is_not_swallowed(tmp_path):
    """An error that the block itself raises is no sign that somebody was faster."""
    with pytest.raises(FileExistsError, match="of the block"), publishing.publish_sealed(tmp_path / "1"):
        raise FileExistsError("of the block")
    assert [] == names(tmp_path)


def test_a_file_is_published_and_replaced(tmp_path):
    """`publish_file` makes the folders above, and replaces a file that has the name."""
    target = tmp_path / "folder" / "file"
    publishing.publish_file(target, b"first")
    publishing.publish_file(target, b"second")
    assert b"second" == target.read_bytes()
    assert ["file"] == names(target.parent)


@pytest.fixture
def sweeper(tmp_path):
    """Somebody who sweeps the folder again and again, as every other process that publishes into it does."""
    done = threading.Event()

    def sweep():
        while not done.is_set():
            publishing.sweep(tmp_path)

    thread = threading.Thread(target=sweep)
    thread.start()
    yield
    done.set()
    thread.join()


@pytest.mark.usefixtures("sweeper")
def test_a_sweeper_takes_nothing_from_a_writer(tmp_path):
    """At whatever moment others sweep, every folder and every file is published."""
    for number in range(60):
        with publishing.publish_directory(tmp_path / f"folder-{number}") as aside:
            (aside / "file").write_text("content")
        publishing.publish_file(tmp_path / f"file-{number}", b"content")
    assert ["content"] * 60 == [path.read_text() for path in tmp_path.glob("folder-*/file")]
    assert ["content"] * 60 == [path.read_text() for path in tmp_path.glob("file-*")]


def test_lines_of_several_processes_stay_whole(tmp_path):
    """Lines that processes append at the same time are all there, none torn."""
    log = tmp_path / "log"
    processes = [subprocess.Popen([sys.executable, "-c", APPEND, log, str(writer)]) for writer in range(3)]
    assert [0, 0, 0] == [process.wait() for process in processes]
    expected = sorted(f"{writer} {number} " + "x" * 300 for writer in range(3) for number in range(100))
    assert expected == sorted(log.read_text().splitlines())


def publish_large_directory(target):
    with publishing.publish_directory(target) as aside:
        (aside / "file").write_bytes(bytes(1 << 20))


def publish_large_file(target):
    publishing.publish_file(target, bytes(1 << 20))


def append_large_lines(target):
    for _ in range(2):
        publishing.append_line(target, "x" * (1 << 20))


@pytest.mark.parametrize("write", [publish_large_directory, publish_large_file])
def test_a_full_disk_leaves_nothing(small_disk, write):
    """A write for which there is no room names the place and the remedy, and leaves the room as it was."""
    with pytest.raises(StorageFailed, match=f"{small_disk / '1'}: {os.strerror(errno.ENOSPC)}; make room or choose"):
        write(small_disk / "1")
    assert [] == names(small_disk)


@pytest.mark.parametrize("write", [publish_large_directory, publish_large_file, append_large_lines])
def test_a_file_that_may_not_grow_is_told(tmp_path, write):
    """A limit on the size of files is told as a full disk is, whatever is written."""
    with (
        disks.file_size_limit(4096),
        pytest.raises(StorageFailed, match=f"{tmp_path / '1'}: {os.strerror(errno.EFBIG)}; make room or choose"),
    ):
        write(tmp_path / "1")
    assert [] == [name for name in names(tmp_path) if name != "1"]


def test_a_line_that_does_not_fit_is_not_half_there(tmp_path):
    """A line of which the disk takes the beginning alone is an error, and the log ends with the line before it."""
    publishing.append_line(tmp_path / "log", "first")
    with disks.file_size_limit(4096), pytest.raises(StorageFailed, match="make room"):
        publishing.append_line(tmp_path / "log", "x" * 5000)
    publishing.append_line(tmp_path / "log", "last")
    assert "first\nlast\n" == (tmp_path / "log").read_text()


@pytest.mark.parametrize("make", [lambda path: path.symlink_to(path.with_name("victim")), os.mkfifo])
def test_no_line_goes_through_a_link_or_into_a_fifo(tmp_path, make):
    """What is no file is named, and what a link points to stays as it is."""
    (tmp_path / "victim").write_text("of somebody else")
    make(tmp_path / "log")
    with pytest.raises(StorageFailed, match=f"{tmp_path / 'log'}: .*; no link, FIFO or device is used there"):
        publishing.append_line(tmp_path / "log", "line")
    assert "of somebody else" == (tmp_path / "victim").read_text()


@pytest.mark.parametrize("write", [publish_large_directory, publish_large_file, append_large_lines])
@pytest.mark.parametrize("below", ["1", "a/b/1"])
def test_a_file_where_a_folder_is_needed_is_named(tmp_path, write, below):
    """A base path that is a file is named in the error, however deep below it something was to be written."""
    base = tmp_path / "base"
    base.write_text("not a folder")
    with pytest.raises(
        StorageFailed, match=rf"{base}\b.* (is a file where a folder is needed|is in the way of a folder)"
    ):
        write(base / below)
    assert "not a folder" == base.read_text()


def test_a_missing_file_elsewhere_is_not_taken_for_the_place(tmp_path):
    """An error about another file passes through the writer as it is."""
    with pytest.raises(FileNotFoundError), publishing.publish_directory(tmp_path / "base" / "1"):
        (tmp_path / "elsewhere" / "file").read_bytes()
