"""A run of two workers of which one process after the other is killed: nothing is left running, and nothing is lost.

Killed are Luigi itself, one of its workers, the nursery or an engine, at random moments.
"""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import CommandLine, read_tree
from tests.execution.test_calls import check_none_left, find_marked

pytestmark = pytest.mark.long

KILLS = int(os.environ.get("ENGINE_KILLS", "8"))
CONFIG = """
[recipe]
dataset = small
training_iteration = 400
[recipe.2]
seed = 1
[recipe.3]
seed = 2
[recipe.4]
model = cnn
training_iteration = 30
[training]
segment = 100
"""


def find_victims(run, luigi):
    """Role -> processes: who forked whom tells them apart."""
    parents = {}
    for pid in find_marked(run.directory):
        try:
            parents[pid] = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    sessions = {pid: os.getsid(pid) for pid in parents if Path(f"/proc/{pid}").exists()}
    nurseries = [pid for pid in sessions if sessions[pid] == pid and pid != luigi]
    return {
        "luigi": [luigi],
        "worker": [pid for pid, parent in parents.items() if parent == luigi and pid not in nurseries],
        "nursery": nurseries,
        "engine": [pid for pid, parent in parents.items() if parent in nurseries],
    }


def test_whoever_is_killed_nothing_is_left_and_a_rerun_gives_the_same_bytes(tmp_path, mirror):
    """After each kill the run ends, and 2 s later all that it started; the last run completes what is missing."""
    trees, draw, killed = [], random.Random(9), []
    for name, kills in (("undisturbed", 0), ("disturbed", KILLS)):
        directory = tmp_path / name
        directory.mkdir()
        run = CommandLine(directory, mirror)
        run.configure(CONFIG)
        for _ in range(kills):
            process = run.start("ExportAllVersions", "--versions=1-4", "--workers=2", env={"MARK": str(directory)})
            time.sleep(0.4 + draw.random() * 3.5)
            victims = find_victims(run, process.pid)
            role = draw.choice([role for role in sorted(victims) if victims[role]])
            if process.poll() is None:
                os.kill(draw.choice(victims[role]), signal.SIGKILL)
                killed.append(role)
            _, err = process.communicate(timeout=60)
            if role != "luigi" and process.returncode:
                assert "ERROR: " in err.splitlines()[-1], err
            check_none_left(directory, seconds=2.0 if role != "luigi" else 8.0)
        run("ExportAllVersions", "--versions=1-4", "--workers=2", check=0)
        trees.append(read_tree(run.base))
    assert 4 == sum(path.endswith("saved_model.pb") for path in trees[0])
    assert trees[0] == trees[1]
    assert killed
