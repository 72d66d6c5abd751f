"""Progress on the scheduler's page."""

import logging

import luigi
import pytest
from luigi.rpc import RPCError

from tasks.wiring import progress


class Watched(luigi.Task):
    """A task with no output."""


@pytest.fixture
def task():
    """A task as a worker hands it to `run()`, which keeps what it was told in `shown`."""
    task = Watched()
    task.shown = []
    task.set_progress_percentage = task.shown.append
    task.set_status_message = task.shown.append
    return task


def test_does_nothing_outside_a_worker():
    """A task that runs by itself has nobody to report to."""
    task = Watched()
    assert None is task.set_progress_percentage
    progress.reporter(task)(0.5, "half")


def test_shows_fraction_and_line(task):
    """The fraction is shown in per cent, the line as it is."""
    progress.reporter(task)(0.25, "a quarter")
    assert [25.0, "a quarter"] == task.shown


def test_does_not_call_too_often(task, monkeypatch):
    """Reports within half a second of the last are dropped, but the end is always shown."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    report = progress.reporter(task)
    for step, seconds in enumerate([0.0, 0.2, 0.2, 0.2], start=1):
        now[0] += seconds
        report(step / 10, str(step))
    report(1.0, "end")
    assert [10.0, "1", 40.0, "4", 100.0, "end"] == task.shown


def test_gives_up_when_nobody_answers(task, caplog):
    """A scheduler that is gone is warned about once, is not called again, and fails nothing."""
    calls = []

    def fail(percentage):
        calls.append(percentage)
        raise RPCError("gone")

    task.set_progress_percentage = fail
    report = progress.reporter(task)
    with caplog.at_level(logging.WARNING, logger="luigi-interface"):
        report(0.5, "half")
        report(1.0, "end")
    assert [50.0] == calls
    assert ["The scheduler does not answer; Watched() goes on without showing its progress"] == caplog.messages


def test_shows_on_a_real_page(luigid, run_luigi):
    """Under luigid the tasks of a run leave their last line on its page."""
    server = luigid()
    run_luigi("PrepareDataset", "--dataset=small", "--scheduler-port", server.port, local_scheduler=False, check=0)
    assert {"decoding the archives"} == {
        task["status_message"]
        for task in server.ask("task_list", status="DONE").values()
        if task["name"] == "PrepareDataset"
    }
