"""What a run tells: progress on the scheduler's page, one line for each failure, and the log of the rooms below.

Luigi prints a traceback around every error and ends with a summary; what a user must read is the last line.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable

import luigi
from luigi.parameter import ParameterException
from luigi.rpc import RPCError

from tasks.errors import PipelineError

luigi_logger = logging.getLogger("luigi-interface")

PROGRESS_SECONDS = 0.5
# As Luigi's execution summary says it
ELSEWHERE = ("being run by another worker", "not granted run permission")


def set_up() -> None:
    """Send the package's log to Luigi's, make that plain, and tell what failed when the process ends."""
    luigi_logger.addFilter(_tell_plainly)
    package_logger = logging.getLogger("tasks")
    package_logger.setLevel(logging.DEBUG)
    package_logger.addHandler(_ToLuigi())
    package_logger.propagate = False
    atexit.register(FAILURES.tell)


class ReportedTask(luigi.Task):
    """A task whose failure is told again in one line when the run ends, below Luigi's summary."""

    def on_failure(self, exception: BaseException) -> str:
        """What the scheduler's page shows."""
        told = told_plainly(exception)
        line = told or f"{type(exception).__name__}: {exception}"
        FAILURES.add(f"{self.task_family}: {line}")
        return told or "".join(traceback.format_exception(exception))


@ReportedTask.event_handler(luigi.Event.BROKEN_TASK)
def _tell_of_a_broken_task(task: luigi.Task, exception: BaseException) -> None:
    """One that cannot even say what it requires is told of as one that fails (of an RPCError Luigi tells last)."""
    if not isinstance(exception, RPCError):
        task.on_failure(exception)


def reporter(task: luigi.Task) -> Callable[[float, str], None]:
    """A function of a fraction (0 to 1) and a line of text that shows both on the scheduler's page.

    It does nothing outside a worker, calls the scheduler at most twice a second, and gives up for good when the
    scheduler does not answer: a training must not fail because nobody watches it.
    """
    last = 0.0
    gone = False

    def report(fraction: float, message: str) -> None:
        nonlocal last, gone
        now = time.monotonic()
        if gone or (now - last < PROGRESS_SECONDS and fraction < 1) or task.set_progress_percentage is None:
            return
        last = now
        try:
            task.set_progress_percentage(round(100 * fraction, 1))
            task.set_status_message(message)
        except RPCError:
            gone = True
            luigi_logger.warning("The scheduler does not answer; %s goes on without showing its progress", task)

    return report


def told_plainly(exception: BaseException | None) -> str | None:
    """The one line that tells a user what an exception means, or None if only its traceback does."""
    while exception is not None:
        if isinstance(exception, PipelineError | ParameterException):
            return str(exception)
        if isinstance(exception, RPCError):
            return (
                f"No Luigi scheduler answers ({exception}). Start one with `luigid --address 127.0.0.1`, "
                "or run without: add --local-scheduler"
            )
        exception = exception.__cause__
    return None


def _tell_plainly(record: logging.LogRecord) -> bool:
    """Replace Luigi's traceback by the line that told_plainly gives, where it gives one."""
    exception = record.exc_info[1] if record.exc_info else None
    if exception is None or type(exception).__module__.startswith("requests."):  # logged before each retry
        record.exc_info = None
    if any(words in str(record.msg) for words in ELSEWHERE) and "Execution Summary" in str(record.msg):
        FAILURES.add(
            "another worker has some of the tasks, or had them seconds ago; what it makes is there when it ends"
        )
    told = told_plainly(exception)
    if told is not None:
        record.msg, record.args, record.exc_info = "%s: %s", (record.getMessage(), told), None
    return True


class _ToLuigi(logging.Handler):
    """Hands the package's log records to Luigi's logger, so that one level and one format hold for both."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass the record on if Luigi's level lets it through."""
        if luigi_logger.isEnabledFor(record.levelno):
            luigi_logger.handle(record)


class _Failures:
    """The lines that failed tasks leave for the end of the run, from forked workers too."""

    def __init__(self) -> None:
        self.parent = os.getpid()
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.writing, False)
        os.set_blocking(self.reading, False)

    def add(self, line: str) -> None:
        """Leave a line; one that finds the pipe full is dropped (Luigi's log has it)."""
        with contextlib.suppress(BlockingIOError):
            os.write(self.writing, " ".join(line.split()).encode()[:4000] + b"\n")

    def take(self) -> list[str]:
        """The lines left so far, each once."""
        content = b""
        with contextlib.suppress(BlockingIOError):
            while block := os.read(self.reading, 1 << 16):
                content += block
        return list(dict.fromkeys(content.decode(errors="replace").splitlines()))

    def tell(self) -> None:
        """Write the lines to stderr; in the process that started the run alone."""
        if os.getpid() == self.parent:
            for line in self.take():
                print(f"ERROR: {line}", file=sys.stderr)  # noqa: T201 - below Luigi's summary, which ends its log


FAILURES = _Failures()
