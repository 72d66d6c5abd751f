"""What a person at a terminal sees of a run: a story while it goes, and at its end what came of it.

`_schedule_and_run` is the one function behind the command line and `luigi.build` that still has the worker when the
run is over: it is wrapped. While it runs, Luigi's own chatter is at DEBUG, and a bar on standard error says how far a
task is. After it come, on standard output, what tasks wanted to be said last and the table of versions, and below
them, in the log, what failed.
"""

import contextlib
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from functools import wraps
from pathlib import Path
from typing import Any, BinaryIO

import luigi
import luigi.interface
from luigi.cmdline_parser import CmdlineParser
from luigi.execution_summary import _summary_dict

from tasks.wiring import failures, stopping, summary
from tasks.wiring.failures import luigi_logger, printable

LUIGI = str(Path(luigi.__file__).parent)

_last_words: BinaryIO | None = None  # of the run that goes on
_bar: Any = None  # the one on the screen, if there is one


def set_up() -> None:
    """Let each run tell its story, and end with what came of it."""
    luigi_logger.addFilter(_keep_to_the_story)
    luigi_logger.addFilter(failures.tell_plainly)
    schedule_and_run = luigi.interface._schedule_and_run  # noqa: SLF001 - see above

    @wraps(schedule_and_run)
    def told(tasks: Any, worker_scheduler_factory: Any = None, override_defaults: Any = None) -> Any:
        _open_standard_streams()
        factory = _Factory(worker_scheduler_factory or luigi.interface._WorkerSchedulerFactory())  # noqa: SLF001
        with stopping.stoppable():
            try:
                with _closing():
                    result = schedule_and_run(tasks, factory, override_defaults)
            except KeyboardInterrupt as stopped:
                if sys.stderr.isatty():
                    print(file=sys.stderr)  # noqa: T201 - the terminal has written ^C
                luigi_logger.warning("%s", stopping.conclude(stopped, factory.worker))
                raise
        groups = _summary_dict(result.worker)
        for task in groups["already_done"].intersection(tasks):
            luigi_logger.info("%s: there was nothing to do", task.task_family)
        if CmdlineParser.get_instance():  # a program that calls luigi.build has words of its own
            say(summary.tell(tasks, groups))
        for line in failures.reasons(result.worker, groups):
            luigi_logger.error("%s", line)
        return result

    luigi.interface._schedule_and_run = told  # noqa: SLF001


def say(text: str) -> None:
    """Print what was asked for; a standard output that is closed or full changes nothing else."""
    hide_bar()
    try:
        print(text, end="\n" if text else "", flush=True)  # noqa: T201 - what it is for
    except OSError as error:
        luigi_logger.warning("Standard output cannot be written: %s", error.strerror)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python fails at its end, too


def say_last(text: str) -> None:
    """Print it when the run is over, below all else, whichever process says it; at once outside a run."""
    text = printable(text)
    if _last_words is None:
        say(text)
    else:
        _last_words.write(f"{text}\n".encode())


def show_bar(began: float, name: str, fraction: float, text: str) -> None:
    """Show how far a task is that began longer than a second ago, if a person looks at standard error.

    Only in a run with one worker: several would write over each other's.
    """
    global _bar  # noqa: PLW0603 - there is one screen
    if _bar is not None and (_bar.began != began or fraction >= 1):
        hide_bar()
    if _bar is None:
        is_watched = sys.stderr.isatty() and multiprocessing.parent_process() is None
        is_due = fraction < 1 and time.monotonic() - began > 1
        if not is_watched or not is_due or not luigi_logger.isEnabledFor(logging.INFO):
            return
        from tqdm import tqdm

        tqdm.monitor_interval = 0  # a thread, in a process that forks
        layout = "{percentage:3.0f}% |{bar:20}| {desc}"
        _bar = tqdm(total=1, miniters=0, leave=False, bar_format=layout, dynamic_ncols=True)
        _bar.began = began
    _bar.set_description_str(f"{name}: {text}", refresh=False)
    _bar.update(fraction - _bar.n)


def hide_bar() -> None:
    """Take the bar off the screen, so that something else can be written."""
    global _bar  # noqa: PLW0603 - there is one screen
    if _bar is not None:
        _bar.close()
        _bar = None


class _Factory:
    """Luigi's own, or a caller's, that remembers the worker it has made."""

    def __init__(self, factory: Any) -> None:
        self._factory = factory
        self.worker: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._factory, name)

    def create_worker(self, **options: Any) -> Any:
        self.worker = self._factory.create_worker(**options)
        return self.worker


@contextlib.contextmanager
def _closing() -> Iterator[None]:
    """Print at the end of the block what was to be said last."""
    global _last_words  # noqa: PLW0603 - one for a run and all that it forks
    former = _last_words
    _last_words = words = os.fdopen(os.memfd_create("last words"), "a+b", buffering=0)
    try:
        yield
    finally:
        _last_words = former
        hide_bar()
        with words:
            words.seek(0)
            say(words.read().decode().rstrip("\n"))


def _open_standard_streams() -> None:
    """Open those that whoever started this process has closed: their numbers would go to sockets."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 - stdin, stdout, stderr
        pass
    os.close(number)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - for as long as it runs


def _keep_to_the_story(record: logging.LogRecord) -> bool:
    """Let what Luigi says about its scheduling be seen with --log-level DEBUG alone."""
    hide_bar()
    if record.levelno == logging.INFO and record.pathname.startswith(LUIGI):
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
    return True
