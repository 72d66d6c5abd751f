"""Disks that are full, for real: a limit on the size of files, and a file system of a few pages."""

import contextlib
import resource
import shutil
import subprocess

import pytest


@contextlib.contextmanager
def file_size_limit(size):
    """Let no file of this process grow past `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def mounted(directory, size, mode="rw"):
    """A file system of `size` bytes at `directory`; the test is skipped where this user may not mount one."""
    directory.mkdir()
    mount = shutil.which("mount")
    if (
        not mount
        or subprocess.run(
            [mount, "-t", "tmpfs", "-o", f"size={size},{mode}", "tmpfs", directory], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("this user may not mount a tmpfs")
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)
