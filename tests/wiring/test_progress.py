"""Progress and results on the scheduler's page."""

import logging
import re
import time

import luigi
import psutil
import pytest
from luigi.rpc import RemoteScheduler, RPCError
from luigi.worker import TaskStatusReporter

from tasks.wiring import progress
from tasks.wiring.progress import Reporter


class Watched(luigi.Task):
    """A task with no output."""


@pytest.fixture
def task():
    """A task as a worker hands it to `run()`, which keeps what it was told in `shown`."""
    task = Watched()
    task.shown = []
    task.set_progress_percentage = task.shown.append
    task.set_status_message = task.shown.append
    task.set_tracking_url = task.shown.append
    return task


@pytest.fixture
def now(monkeypatch):
    """A clock that a test sets: a list with the seconds."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_does_nothing_outside_a_worker():
    """A task that runs by itself has nobody to report to."""
    task = Watched()
    assert None is task.set_progress_percentage
    report = Reporter(task, "begun", page="http://localhost/")
    report(1.0, "half")
    report.finish("done")


def test_shows_at_once_that_it_has_begun(task):
    """With 1 % at least: the page shows no 0. The address of a page comes before any text."""
    Reporter(task, "begun", page="http://localhost/")
    assert ["http://localhost/", 1, "begun"] == task.shown


def test_a_training_that_goes_on_begins_where_it_is(task):
    """The first percentage agrees with the first text."""
    Reporter(task, "iteration 1000 of 2000", 0.5)
    assert [50, "iteration 1000 of 2000"] == task.shown


def test_does_not_call_too_often(task, now):
    """Reports within a second of the last are dropped, and the same percentage is not told twice."""
    report = Reporter(task, "begun")
    for step, seconds in enumerate([0.5, 0.4, 0.2, 0.2], start=1):
        now[0] += seconds
        report(step / 1000, str(step))
    assert [1, "begun", "3, 5 min left"] == task.shown


def test_the_end_is_always_shown(task):
    """The last report and the result come through, whenever they come; the result stays."""
    report = Reporter(task, "begun")
    report(1.0, "iteration 9 of 9")
    report.finish("9 iterations")
    assert [1, "begun", 100, "iteration 9 of 9", "9 iterations"] == task.shown


def test_says_how_long_the_rest_may_take(task, now):
    """By the pace since the first report: what came before it, TensorFlow's import, says nothing about that."""
    report = Reporter(task, "begun")
    for seconds, fraction in [(5, 0.1), (2, 0.3), (2, 0.5)]:
        now[0] += seconds
        report(fraction, "going")
    assert ["going", "going, 7 s left", "going, 5 s left"] == task.shown[3::2]


def test_gives_up_when_nobody_answers(task, caplog):
    """A scheduler that is gone is warned about once, is not called again, and fails nothing."""
    calls = []

    def fail(percentage):
        calls.append(percentage)
        raise RPCError("gone")

    task.set_progress_percentage = fail
    with caplog.at_level(logging.WARNING, logger="luigi-interface"):
        report = Reporter(task, "begun")
        report(1.0, "end")
        report.finish("result")
    assert [1] == calls
    assert [] == task.shown
    assert ["The scheduler does not answer; Watched() goes on without showing its progress"] == caplog.messages


def test_a_report_costs_next_to_nothing(luigid):
    """Client and scheduler together spend less than 20 ms of processor time on one; there is one a second, at most."""
    server, task, count = luigid(), Watched(), 50
    scheduler = RemoteScheduler(f"http://127.0.0.1:{server.port}")
    scheduler.add_task(task_id=task.task_id, worker="one", status="RUNNING")
    own = TaskStatusReporter(scheduler, task.task_id, "one", None)
    task.set_progress_percentage, task.set_status_message = own.update_progress_percentage, own.update_status_message

    def used():
        return time.process_time() + sum(psutil.Process(server.process.pid).cpu_times()[:2])

    report, before = Reporter(task), used()
    for number in range(1, count + 1):
        report.finish(f"iteration {number} of {count}")
    assert (used() - before) / count < 0.02 * progress.SECONDS
    told = server.ask("get_task_status_message", task_id=task.task_id)
    assert f"iteration {count} of {count}" == told["statusMessage"]


def test_every_result_is_on_a_real_page(luigid, run_luigi):
    """Under luigid each task of a run leaves 100 % and its result in one line, in words and numbers alone."""
    server = luigid()
    options = ("--versions=1", "--dataset=small", "--training-iteration=30", "--scheduler-port", server.port)
    run_luigi("ExportAllVersions", *options, local_scheduler=False, check=0)
    left = {task["name"]: task for task in server.ask("task_list", status="DONE").values()}
    assert {100} == {task["progress_percentage"] for task in left.values()}
    expected = {
        "DownloadDataset": r"4 files, 0\.\d MB",
        "PrepareDataset": "images: 500 training, 100 validation, 200 test",
        "TrainModel": r"iteration 30 of 30, loss \d\.\d{4}",
        "ExportVersion": r"validation [01]\.\d{4}, test [01]\.\d{4}, 0\.\d MB",
        "ExportAllVersions": "1 version",
    }
    assert set(expected) == set(left)
    assert [] == [name for name, text in expected.items() if not re.fullmatch(text, left[name]["status_message"])]
