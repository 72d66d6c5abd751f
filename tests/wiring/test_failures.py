"""How a run tells what failed."""

import logging
import os
import signal
import time
from pathlib import Path

import luigi
import pytest
from luigi.rpc import RPCError
from luigi.scheduler import Scheduler
from luigi.worker import TaskException, Worker

from tasks.errors import InvalidParameter, PipelineError
from tasks.versions.wanted_version import WantedVersion
from tasks.wiring.failures import ReportedTask, tell_plainly, told_plainly
from tests.conftest import kill_group
from tests.small import make_recipe


class Broken(ReportedTask):
    """A task that fails, in a way that its parameter names."""

    way = luigi.Parameter()

    def requires(self):
        if self.way == "requires":
            raise PipelineError("needs what\n  is not there")
        return []

    def complete(self):
        if self.way == "complete":
            raise ZeroDivisionError
        return False

    def run(self):
        if self.way == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise PipelineError("too bad " * 30) if self.way == "plain" else ZeroDivisionError("oh\nno")


class All(ReportedTask, luigi.WrapperTask):
    """All of these that can fail in one process."""

    def requires(self):
        return [Broken(way=way) for way in ("plain", "foreign", "requires", "complete")]


class Wanted(ReportedTask):
    """A task that needs one of something."""

    resources = {"one": 1}  # noqa: RUF012 - as Luigi wants it

    def complete(self):
        return False


class Gone(ReportedTask):
    """A version that is there when it is looked for, and is retired before the set is done."""

    looked = 0

    def output(self):
        return WantedVersion(Path("/models/mnist"), 1, make_recipe())

    def complete(self):
        Gone.looked += 1
        return Gone.looked == 1

    def run(self):
        raise PipelineError("and is not made again")


class Set(ReportedTask):
    """What needs it."""

    def requires(self):
        return Gone()

    def complete(self):
        return False


class Slow(ReportedTask):
    """A task that ends when it is told to."""

    folder = luigi.Parameter()

    def complete(self):
        return Path(self.folder, "ended").exists()

    def run(self):
        Path(self.folder, "begun").touch()
        while not self.complete():
            time.sleep(0.05)


class After(Slow):
    """A task that has to wait for it."""

    def requires(self):
        return Slow(folder=self.folder)

    def complete(self):
        return False


class Other(Wanted):
    """Another task that needs it too."""


class TestToldPlainly:
    """The one line that tells a user what an exception means."""

    def test_own_errors_speak_for_themselves(self):
        """The text of this package's errors is the line."""
        assert "seed = 'x': no" == told_plainly(InvalidParameter("seed = 'x': no"))

    def test_a_missing_scheduler_is_explained(self):
        """For an RPCError the line says how to start a scheduler, and how to do without."""
        told = told_plainly(RPCError("Errors (3 attempts)"))
        assert told.startswith("No Luigi scheduler answers (Errors (3 attempts)).")
        assert told.endswith("Start one with `luigid --address 127.0.0.1`, or run without: add --local-scheduler")

    def test_causes_are_looked_through(self):
        """An error that was caused by one of ours is told as that one."""
        error = RuntimeError("wrapper")
        error.__cause__ = PipelineError("what happened")
        assert "what happened" == told_plainly(error)

    def test_others_keep_their_traceback(self):
        """Nothing else has such a line."""
        assert None is told_plainly(ZeroDivisionError("division by zero"))
        assert None is told_plainly(None)

    def test_the_page_shows_it(self):
        """A failed task leaves that line there, wrapped to 70 columns, and below it the traceback of anything else."""
        assert "too bad" == Broken(way="").on_failure(PipelineError("too\nbad"))
        wide = Broken(way="").on_failure(PipelineError("a " * 100 + "/a/path-that-is-longer-than-a-line" * 3))
        assert [70 - 1] * 2 == [len(line) for line in wide.split("\n")[:2]]
        assert "/a/path-that-is-longer-than-a-line" * 3 == wide.split("\n")[-1]
        line, empty, traceback = Broken(way="").on_failure(ZeroDivisionError("oh\nno")).split("\n", 2)
        assert ("ZeroDivisionError: oh no", "") == (line, empty)
        assert traceback.endswith("ZeroDivisionError: oh\nno\n")


def test_a_log_record_without_an_exception_has_no_traceback():
    """Luigi logs each retry with the traceback of no exception, which would read `NoneType: None`."""
    record = logging.LogRecord("luigi-interface", logging.WARNING, "", 0, "retry", (), (None, None, None))
    assert tell_plainly(record)
    assert None is record.exc_info


@pytest.fixture
def last_lines(this_process, caplog):  # noqa: ARG001 - its log of Luigi's is put back
    """Run tasks in this process; gives what is logged below Luigi's summary."""

    def run(*tasks, **options):
        with caplog.at_level(logging.DEBUG, logger="luigi-interface"):
            luigi.build(tasks, log_level="DEBUG", **options)
        messages = caplog.messages
        (summary,) = (number for number, text in enumerate(messages) if "Luigi Execution Summary" in text)
        return messages[summary + 1 :]

    return run


def test_every_failure_is_told_in_one_line(last_lines):
    """Ours by its text and others by type and text, once each, whether it ran or could not even be scheduled."""
    assert sorted(last_lines(All(), local_scheduler=True)) == [
        "Broken: ZeroDivisionError: oh no",
        "Broken: needs what is not there",
        "Broken: see Luigi's log above",
        "Broken: " + " ".join(["too bad"] * 30),
    ]


class SameScheduler:
    """Hands out one scheduler to every run, as luigid does."""

    def __init__(self):
        self.scheduler = Scheduler()

    def create_local_scheduler(self):
        return self.scheduler

    def create_worker(self, scheduler, worker_processes, assistant):
        return Worker(scheduler=scheduler, worker_processes=worker_processes, assistant=assistant)


@pytest.mark.parametrize("task", [Wanted, Other], ids=["its task", "what its task needs"])
def test_what_another_worker_has_is_told(last_lines, task):
    """Where another worker makes what is asked for, or has a resource that it needs, that is the last line."""
    shared = SameScheduler()
    with Worker(scheduler=shared.scheduler, worker_id="another") as another:
        another.add(Wanted())
        assert Wanted().task_id == shared.scheduler.get_work(worker="another")["task_id"]
        (told,) = last_lines(task(), local_scheduler=True, worker_scheduler_factory=shared)
    assert told.startswith("another worker has some of the tasks")


def test_what_is_gone_before_it_is_used_is_told(last_lines, caplog):
    """Not in Luigi's words, which name Python's classes: the version's folder, and what may have become of it."""
    Gone.looked = 0
    told = "Set: what it needs was there and is gone: /models/mnist/1; was it retired or removed meanwhile?"
    assert [told] == last_lines(Set(), local_scheduler=True)
    assert "Unfulfilled" not in caplog.text


def test_a_scheduler_that_was_started_again_is_told(run_luigi, luigid):
    """It has forgotten the rest of the run, which is not another worker's."""
    server, folder = luigid(), run_luigi.directory
    options = ("--folder", folder, "--scheduler-port", server.port)
    process = run_luigi.start("After", *options, module=__name__, local_scheduler=False)
    try:
        while not (folder / "begun").exists():
            assert None is process.poll(), process.communicate()
            time.sleep(0.05)
        server.start_again()
        (folder / "ended").touch()
        _, err = process.communicate(timeout=60)
    finally:
        kill_group(process)
    assert 25 == process.returncode
    assert err.splitlines()[-1].startswith("ERROR: the scheduler was started again during the run")


def test_a_worker_that_was_killed_is_told(run_luigi):
    """A task whose process is gone says with which exit code."""
    options = ("--way", "killed", "--workers", "2")
    result = run_luigi("Broken", *options, module=__name__, check=30)
    last = result.stderr.splitlines()[-1]
    assert last.startswith("ERROR: Broken: Task Broken_killed_")
    assert last.endswith(" died unexpectedly with exit code -9")


@pytest.mark.parametrize("workers", [1, 2])
def test_failures_are_told_once_at_the_end(run_luigi, workers):
    """Each failed task leaves one line at the end, also when it ran in a forked worker."""
    for version in ("1", "2", "3"):
        (run_luigi.base / version).mkdir(parents=True)
    options = ("--versions=1-3", "--dataset=small", f"--workers={workers}")
    result = run_luigi("ExportAllVersions", *options, check=30)
    told = [line for line in result.stderr.splitlines() if line.startswith("ERROR: ")]
    assert told == result.stderr.splitlines()[-3:]
    assert [
        f"ERROR: ExportVersion: {run_luigi.base / version} is there, but was not made" for version in "123"
    ] == sorted(line.partition(" by this pipeline")[0] for line in told)


def test_failures_are_told_under_a_central_scheduler(run_luigi, luigid):
    """With luigid the line comes from there."""
    run_luigi.base.mkdir(parents=True)
    (run_luigi.base / "1").mkdir()
    options = ("--version=1", "--dataset=small", "--scheduler-port", luigid().port)
    result = run_luigi("ExportVersion", *options, local_scheduler=False, check=30)
    assert result.stderr.splitlines()[-1].startswith(f"ERROR: ExportVersion: {run_luigi.base / '1'} is there, but was")


def test_what_cannot_be_scheduled_is_told_too(run_luigi):
    """A task that fails before it could run, at what it requires, leaves such a line as well."""
    result = run_luigi("ExportAllVersions", "--versions=1", "--dataset=small", "--TrainModel-segment=0", check=35)
    told = "ERROR: ExportVersion: segment = '0': allowed is a whole number from 1 to 10,000,000"
    assert told == result.stderr.splitlines()[-1]


def test_what_has_failed_too_often_is_told(run_luigi, luigid):
    """A scheduler that offers a task no more says so by its page alone: the last line says it, too."""
    run_luigi.configure("[scheduler]\nretry_count = 1\n")
    (run_luigi.base / "1").mkdir(parents=True)
    options = ("ExportVersion", "--version=1", "--dataset=small", "--scheduler-port", luigid().port)
    run_luigi(*options, local_scheduler=False, check=30)
    result = run_luigi(*options, local_scheduler=False, check=25)
    assert result.stderr.splitlines()[-1].startswith("ERROR: ExportVersion: has failed so often that the scheduler")


def test_a_set_that_is_not_whole_after_all_is_told():
    """One of its versions was retired between its making and the end of the run."""
    told = told_plainly(TaskException("Task finished running, but complete() is still returning false."))
    expected = "what it needs was there and is gone: not all of it is there; was it retired or removed meanwhile?"
    assert expected == told
