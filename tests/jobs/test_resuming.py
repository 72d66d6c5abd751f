"""A run that is killed again and again gives what an undisturbed one gives."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.storage.checksums import list_files
from tests.conftest import ROOT

pytestmark = pytest.mark.long


def test_kills_leave_no_trace(tmp_path: Path, mirror: Path):
    """Twenty SIGKILLs at random moments, a run after each: the same bytes as without, and nothing but versions."""
    trees = []
    for name, kills in (("disturbed", 20), ("undisturbed", 0)):
        folder = tmp_path / name
        folder.mkdir()
        result = subprocess.run(
            [sys.executable, "-m", "tests.killing", folder, mirror, str(kills), "7"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        killed, exit_code, _ = result.stdout.split()
        assert "0" == exit_code, result.stderr
        assert (kills == 0) == (killed == "0")
        assert ["1", "2"] == sorted(path.name for path in (folder / "models").iterdir())
        trees.append(list_files(folder / "models"))
    assert trees[0] == trees[1]
