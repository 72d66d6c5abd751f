"""Folders that cannot be written, and disks that are full."""

import contextlib
import os

import pytest

from tests.conftest import ROOT, last_line, names_in
from tests.disks import mounted
from tests.jobs.chain import CHAIN

FOUR_DISKS = """
import luigi
from tests.small import tasks

class FourDisks(luigi.WrapperTask):
    def requires(self):
        return [tasks.ExportVersion(version=1, base_path=kilobytes) for kilobytes in ("16", "40", "60", "100")]
"""


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

    def test_full_disk(self, run_luigi, tmp_path):
        """A disk that is full while weights, graph, warm-up or golden answers are written fails that version alone."""
        (tmp_path / "four_disks.py").write_text(FOUR_DISKS)
        run_luigi.configure(CHAIN)
        with contextlib.ExitStack() as stack:
            disks = [stack.enter_context(mounted(tmp_path / str(size), size=size << 10)) for size in (16, 40, 60, 100)]
            environment = {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
            result = run_luigi("FourDisks", module="four_disks", env=environment, check=30)
            told = result.stderr.splitlines()[-4:]
            full = "No space left on device; make room or choose another place"
            assert {f"ERROR: ExportVersion: {disk / '1'}: {full}" for disk in disks} == set(told)
            assert "Traceback" not in result.stderr
            assert [[]] * 4 == [names_in(disk) for disk in disks]

    def test_full_disk_under_the_work_folder(self, run_luigi, tmp_path):
        """A disk that is full while archives are copied or arrays are written fails that task and is named."""
        with mounted(tmp_path / "small_disk", size=500 << 10) as small_disk:
            result = run_luigi("PrepareDataset", "--dataset=small", "--work-dir", small_disk, check=30)
            assert f"ERROR: PrepareDataset: {small_disk}" in last_line(result)
            assert "No space left on device; make room" in last_line(result)


@pytest.fixture
def closed_folder(tmp_path):
    """An empty folder in which this user may not write; permissions do not bind root, a read-only disk does."""
    closed = tmp_path / "closed"
    if os.geteuid() == 0:
        with mounted(closed, size=1 << 20, mode="ro"):
            yield closed
    else:
        closed.mkdir(mode=0o500)
        yield closed
        closed.chmod(0o700)


@pytest.mark.long
def test_too_few_open_files(run_luigi):
    """A limit on open files that is too low is told in one line, and nothing half is there."""
    limit = ("bash", "-c", 'ulimit -n 20; exec "$@"', "bash")
    result = run_luigi("ExportVersion", "--version=1", "--dataset=small", prefix=limit, check=30)
    assert "Too many open files" in last_line(result)
    assert "Traceback" not in result.stderr
    assert [] == names_in(run_luigi.base)
