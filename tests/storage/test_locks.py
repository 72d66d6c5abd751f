"""Locks that die with their process."""

import os
import subprocess
import sys

import pytest

from tasks.storage import locks

HOLD = """
import sys
from pathlib import Path
from tasks.storage import locks
with locks.exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of `tmp_path / "file"`, which it has made."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "file"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert "held\n" == process.stdout.readline()
        yield process
        process.kill()


def test_a_lock_that_is_held_is_not_waited_for(tmp_path, holder):
    """`try_lock` says no while another process has the lock, and yes once that one was killed."""
    assert None is locks.try_lock(tmp_path / "file")
    holder.kill()
    holder.wait()
    lock = locks.try_lock(tmp_path / "file")
    assert lock is not None
    os.close(lock)


def test_a_lock_is_waited_for(tmp_path, holder):
    """`exclusive` enters its block when the other process has left its own."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "file"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as second:
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(timeout=0.3)
        holder.communicate("")
        assert "held\n" == second.stdout.readline()
        assert 0 == second.wait()


def test_folders_can_be_locked_and_what_is_gone_cannot(tmp_path):
    """The lock of a folder is as good as that of a file; a name that nothing bears has none."""
    lock = locks.try_lock(tmp_path)
    assert lock is not None
    assert None is locks.try_lock(tmp_path)
    os.close(lock)
    assert None is locks.try_lock(tmp_path / "nothing")


@pytest.mark.parametrize("make", [lambda path: path.symlink_to(path.with_name("victim")), os.mkfifo])
def test_no_lock_is_taken_through_a_link(tmp_path, make):
    """A link where the lock's file belongs is an error at once; the file that it points to stays as it is."""
    (tmp_path / "victim").write_text("of somebody else")
    make(tmp_path / "file")
    if (tmp_path / "file").is_symlink():
        with pytest.raises(OSError, match=r"symbolic links"), locks.exclusive(tmp_path / "file"):
            pass
        with pytest.raises(OSError, match=r"symbolic links"):
            locks.try_lock(tmp_path / "file")
    else:
        os.close(locks.try_lock(tmp_path / "file"))
    assert "of somebody else" == (tmp_path / "victim").read_text()
