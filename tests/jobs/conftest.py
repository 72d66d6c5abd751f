"""A finished run over the versions of CHAIN."""

import shutil

import pytest

from tests.conftest import CommandLine
from tests.jobs.chain import CHAIN


@pytest.fixture(scope="session")
def exported(tmp_path_factory, mirror):
    """Versions 1, 2 and 3 of CHAIN in a folder of their own, and the run that made them; not to be changed."""
    directory = tmp_path_factory.mktemp("exported")
    temporary = tmp_path_factory.mktemp("temporary")
    run = CommandLine(directory, mirror)
    run.configure(CHAIN)
    result = run("ExportAllVersions", "--versions", "1,2,3", env={"TMPDIR": str(temporary)}, check=0)
    return run, result, temporary


@pytest.fixture
def finished(exported, tmp_path, mirror):
    """A copy of `exported` that a test may change, with no records; a command line in it."""
    directory = tmp_path / "finished"
    shutil.copytree(exported[0].directory, directory)
    (directory / "work" / "records.jsonl").unlink()
    return CommandLine(directory, mirror)
