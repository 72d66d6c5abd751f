"""Disks that are full, for real: a limit on the size of files, and a file system of a few pages."""

import contextlib
import os
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


@contextlib.contextmanager
def closed(directory):
    """Let this user change nothing in a folder; permissions do not bind root, a read-only mount of the folder does."""
    mount = shutil.which("mount")
    if os.geteuid():
        directory.chmod(0o500)
    elif (
        not mount
        or subprocess.run([mount, "--bind", directory, directory], check=False, capture_output=True).returncode
    ):
        pytest.skip("this user may not mount a folder")
    else:
        subprocess.run([mount, "-o", "remount,bind,ro", directory], check=True)
    try:
        yield
    finally:
        if os.geteuid():
            directory.chmod(0o700)
        else:
            subprocess.run(["umount", directory], check=True)


@contextlib.contextmanager
def mounted_file(path):
    """Let a file be a mount point, so that nothing can be renamed to it; skipped where this user may not mount one."""
    mount = shutil.which("mount")
    if not mount or subprocess.run([mount, "--bind", path, path], check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount a file")
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)
