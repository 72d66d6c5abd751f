"""Ctrl-C in the middle of a whole run."""

import http.server
import os
import signal
import time

import pytest

from tests.conftest import kill_group, names_in, read_tree
from tests.execution.test_calls import check_none_left
from tests.jobs.chain import CHAIN

KEPT = "what was finished before is kept, and the same command goes on from there"
LONG = ("--dataset=small", "--model=cnn", "--training-iteration=6000")


class Trickle(http.server.SimpleHTTPRequestHandler):
    """A mirror that sends a little and then nothing."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.wfile.write(b"x" * 1000)
        self.wfile.flush()
        time.sleep(30)


def interrupt(run, sign, delay, *options, **how):
    """Press Ctrl-C so many seconds after a line of the log; gives what stands on the screen without that log."""
    how["env"] = {"MARK": str(run.directory)}
    process = run.start("ExportVersion", "--version=1", "--log-level=DEBUG", *options, **how)
    try:
        for line in process.stderr:
            if sign in line:
                break
        time.sleep(delay)
        assert None is process.poll()
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        kill_group(process)
    assert (130, "") == (process.returncode, out)
    check_none_left(run.directory, seconds=8.0)
    return [line for line in err.splitlines() if not line.startswith(("DEBUG: ", "INFO: "))]


@pytest.mark.parametrize("workers", [1, 2])
def test_in_a_download(run_luigi, http_server, workers):
    """One sentence, nothing half fetched, nothing left running."""
    mirror = http_server(run_luigi.directory, Trickle)
    options = ("--dataset=small", f"--workers={workers}", f"--DownloadDataset-mirrors={mirror}")
    told = interrupt(run_luigi, "running   DownloadDataset", 1, *options)
    assert [f"WARNING: Stopped by Ctrl-C in DownloadDataset: {KEPT}"] == told
    assert [] == [path for path in run_luigi.directory.rglob("*.gz") if not path.parent.name.startswith(".")]


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_in_a_training(run_luigi, luigid, workers):
    """One sentence; the scheduler has forgotten the worker, and the next run goes on at once."""
    server = luigid()
    options = (f"--workers={workers}", "--scheduler-port", server.port)
    told = interrupt(run_luigi, "running   TrainModel", 4, *LONG, *options, local_scheduler=False)
    assert [f"WARNING: Stopped by Ctrl-C in TrainModel: {KEPT}"] == told
    assert {"TrainModel"} == server.tasks("FAILED")
    assert set() == server.tasks("RUNNING")
    assert [] == names_in(run_luigi.base)


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_in_an_export(exported, run_luigi, luigid, workers):
    """One sentence, no half version; the same command makes the same bytes at once, and sweeps what was left."""
    run_luigi.configure(CHAIN)
    options = (f"--workers={workers}", "--scheduler-port", luigid().port)
    told = interrupt(run_luigi, "running   ExportVersion", 0, *options, local_scheduler=False)
    assert [f"WARNING: Stopped by Ctrl-C in ExportVersion: {KEPT}"] == told
    assert [] == [name for name in names_in(run_luigi.base) if not name.startswith(".")]
    run_luigi("ExportVersion", "--version=1", *options, local_scheduler=False, check=0)
    assert ["1"] == names_in(run_luigi.base)
    assert read_tree(exported[0].base / "1") == read_tree(run_luigi.base / "1")
