"""Folders that cannot be written, and disks that are full."""

import os

import pytest

from tests import disks
from tests.conftest import last_line, names_in
from tests.jobs.chain import CHAIN


class TestBadInput:
    """The last line says what, where and what is allowed; the exit code is not 0; the base path holds nothing new."""

    def test_base_path_that_is_a_file(self, run_luigi):
        """A file where the base path should be is named, left alone, and nothing is trained."""
        file = run_luigi.directory / "file"
        file.write_bytes(b"mine")
        for base in (file, file / "mnist"):
            result = run_luigi("ExportVersion", "--version", "1", "--dataset", "small", "--base-path", base, check=30)
            assert f"{file} is a file where a folder is needed" in last_line(result)
        assert b"mine" == file.read_bytes()
        assert ["file"] == names_in(run_luigi.directory)

    def test_base_path_that_is_not_writable(self, run_luigi, closed_folder):
        """A base path that cannot be written is named, and nothing is trained."""
        result = run_luigi("ExportVersion", "--version=1", "--dataset=small", "--base-path", closed_folder / "mnist")
        assert 30 == result.returncode
        assert f"{closed_folder} is not writable for this user" in last_line(result)
        assert [] == names_in(closed_folder)
        assert [] == run_luigi.records()

    @pytest.mark.parametrize("kilobytes", [16, 40, 60, 100])
    def test_full_disk(self, run_luigi, tmp_path, kilobytes):
        """A disk that is full while weights, graph, warm-up or golden answers are written fails the version alone."""
        with disks.mounted(tmp_path / "small_disk", size=kilobytes << 10) as small_disk:
            run_luigi.configure(CHAIN)
            result = run_luigi("ExportVersion", "--version=1", "--base-path", small_disk, check=30)
            told = (
                f"ERROR: ExportVersion: {small_disk / '1'}: No space left on device; make room or choose another place"
            )
            assert told == last_line(result)
            assert "Traceback" not in result.stderr
            assert [] == names_in(small_disk)

    def test_full_disk_under_the_work_folder(self, run_luigi, tmp_path):
        """A disk that is full while archives are copied or arrays are written fails that task and is named."""
        with disks.mounted(tmp_path / "small_disk", size=500 << 10) as small_disk:
            result = run_luigi("PrepareDataset", "--dataset=small", "--work-dir", small_disk, check=30)
            assert f"ERROR: PrepareDataset: {small_disk}" in last_line(result)
            assert "No space left on device; make room" in last_line(result)


@pytest.fixture
def closed_folder(tmp_path):
    """An empty folder in which this user may not write; permissions do not bind root, a read-only disk does."""
    closed = tmp_path / "closed"
    if os.geteuid() == 0:
        with disks.mounted(closed, size=1 << 20, mode="ro"):
            yield closed
    else:
        closed.mkdir(mode=0o500)
        yield closed
        closed.chmod(0o700)
