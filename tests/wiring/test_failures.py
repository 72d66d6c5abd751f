"""What a run tells."""

import logging

import luigi
import pytest
from luigi.rpc import RPCError

from tasks.errors import InvalidParameter, PipelineError
from tasks.wiring import failures as reporting


class Watched(luigi.Task):
    """A task with no output."""


class TestReporter:
    """Progress on the scheduler's page."""

    @pytest.fixture
    def task(self):
        """A task as a worker hands it to `run()`, which keeps what it was told in `shown`."""
        task = Watched()
        task.shown = []
        task.set_progress_percentage = task.shown.append
        task.set_status_message = task.shown.append
        return task

    def test_does_nothing_outside_a_worker(self):
        """A task that runs by itself has nobody to report to."""
        task = Watched()
        assert None is task.set_progress_percentage
        reporting.reporter(task)(0.5, "half")

    def test_shows_fraction_and_line(self, task):
        """The fraction is shown in per cent, the line as it is."""
        reporting.reporter(task)(0.25, "a quarter")
        assert [25.0, "a quarter"] == task.shown

    def test_does_not_call_too_often(self, task, monkeypatch):
        """Reports within half a second of the last are dropped, but the end is always shown."""
        now = [100.0]
        monkeypatch.setattr(reporting.time, "monotonic", lambda: now[0])
        report = reporting.reporter(task)
        for step, seconds in enumerate([0.0, 0.2, 0.2, 0.2], start=1):
            now[0] += seconds
            report(step / 10, str(step))
        report(1.0, "end")
        assert [10.0, "1", 40.0, "4", 100.0, "end"] == task.shown

    def test_gives_up_when_nobody_answers(self, task, caplog):
        """A scheduler that is gone is warned about once, is not called again, and fails nothing."""
        calls = []

        def fail(percentage):
            calls.append(percentage)
            raise RPCError("gone")

        task.set_progress_percentage = fail
        report = reporting.reporter(task)
        with caplog.at_level(logging.WARNING, logger="luigi-interface"):
            report(0.5, "half")
            report(1.0, "end")
        assert [50.0] == calls
        assert ["The scheduler does not answer; Watched() goes on without showing its progress"] == caplog.messages

    def test_shows_on_a_real_page(self, luigid, run_luigi):
        """Under luigid the tasks of a run leave their last line on its page."""
        server = luigid()
        run_luigi("PrepareDataset", "--dataset=small", "--scheduler-port", server.port, local_scheduler=False, check=0)
        assert {"decoding the archives"} == {
            task["status_message"]
            for task in server.ask("task_list", status="DONE").values()
            if task["name"] == "PrepareDataset"
        }


class TestToldPlainly:
    """The one line that tells a user what an exception means."""

    def test_own_errors_speak_for_themselves(self):
        """The text of this package's errors is the line."""
        assert "seed = 'x': no" == reporting.told_plainly(InvalidParameter("seed = 'x': no"))

    def test_a_missing_scheduler_is_explained(self):
        """For an RPCError the line says how to start a scheduler, and how to do without."""
        told = reporting.told_plainly(RPCError("Errors (3 attempts)"))
        assert told.startswith("No Luigi scheduler answers (Errors (3 attempts)).")
        assert told.endswith("Start one with `luigid --address 127.0.0.1`, or run without: add --local-scheduler")

    def test_causes_are_looked_through(self):
        """An error that was caused by one of ours is told as that one."""
        error = RuntimeError("wrapper")
        error.__cause__ = PipelineError("what happened")
        assert "what happened" == reporting.told_plainly(error)

    def test_others_keep_their_traceback(self):
        """Nothing else has such a line."""
        assert None is reporting.told_plainly(ZeroDivisionError("division by zero"))
        assert None is reporting.told_plainly(None)

    def test_the_page_shows_it(self):
        """What a failed task leaves on the page is that line, or the traceback of anything else."""
        task = TestToldPlainly.Failing()
        assert "too bad" == task.on_failure(PipelineError("too bad"))
        assert "ZeroDivisionError: oh" in task.on_failure(ZeroDivisionError("oh"))
        assert ["Failing: too bad", "Failing: ZeroDivisionError: oh"] == reporting.FAILURES.take()

    class Failing(reporting.ReportedTask):
        """A task whose `on_failure` is called here."""


def test_a_log_record_without_an_exception_has_no_traceback():
    """Luigi logs each retry with the traceback of no exception, which would read `NoneType: None`."""
    record = logging.LogRecord("luigi-interface", logging.WARNING, "", 0, "retry", (), (None, None, None))
    assert reporting._tell_plainly(record)
    assert None is record.exc_info


@pytest.mark.parametrize("words", ["were being run by another worker", "was not granted run permission by the"])
def test_what_another_worker_has_is_told_last(words):
    """Luigi's summary is followed by a line of ours where another worker was making what was asked for."""
    summary = f"\n===== Luigi Execution Summary =====\n\n* 1 {words}:\n"
    assert reporting._tell_plainly(logging.LogRecord("luigi-interface", logging.INFO, "", 0, summary, (), None))
    (told,) = reporting.FAILURES.take()
    assert told.startswith("another worker has some of the tasks")


@pytest.mark.parametrize("workers", [1, 2])
def test_failures_are_told_once_at_the_end(run_luigi, workers):
    """Each failed task leaves one line below Luigi's summary, also when it ran in a forked worker."""
    for version in ("1", "2", "3"):
        (run_luigi.base / version).mkdir(parents=True)
    options = ("--versions=1-3", "--dataset=small", f"--workers={workers}")
    result = run_luigi("ExportAllVersions", *options, check=30)
    told = result.stderr.rpartition("===== Luigi Execution Summary =====")[2].split("\n\n")[-1].splitlines()
    assert [
        f"ERROR: ExportVersion: {run_luigi.base / version} is there, but was not made" for version in "123"
    ] == sorted(line.partition(" by this pipeline")[0] for line in told)


def test_what_cannot_be_scheduled_is_told_too(run_luigi):
    """A task that fails before it could run, at what it requires, leaves such a line as well."""
    result = run_luigi("ExportAllVersions", "--versions=1", "--dataset=small", "--TrainModel-segment=0", check=35)
    told = "ERROR: ExportVersion: segment = '0': allowed is a whole number from 1 to 10,000,000"
    assert told == result.stderr.splitlines()[-1]
