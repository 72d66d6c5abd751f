"""How a run ends that is told to: by Ctrl-C, by SIGTERM, or by SIGHUP when its terminal is closed.

A signal raises `Stopped` wherever the run is, in Luigi's process and in its workers alike. What was being written is
removed on the way up or swept by the next run, engines end with their callers, and the scheduler is told, so that the
next run finds every task free at once.
"""

import contextlib
import json
import logging
import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from luigi.cmdline_parser import CmdlineParser
from luigi.rpc import RPCError
from luigi.scheduler import FAILED

CLEANING_UP = 10  # seconds that a worker has for what it was writing
AGAIN = 0.02  # seconds after which a signal comes again that fell where Python lets no exception out, or harms
PATIENCE = 50  # times that it comes again because of a lock: a second, for one may be waited for
LOCKING = {module.__file__ for module in (logging, queue, threading)}
DEFAULTS = (signal.SIG_DFL, signal.default_int_handler)
NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}

_must_tidy_up = False  # what this process does leaves more behind than the next run sweeps


class Stopped(SystemExit, KeyboardInterrupt):
    """The run was told to end. Luigi lets a KeyboardInterrupt pass; Python and multiprocessing end quietly with a
    SystemExit, whose code is 128 and the signal's number, as a shell would say.
    """  # noqa: D205 - both halves are the point


def stoppable() -> contextlib.AbstractContextManager[None]:
    """Let these signals raise Stopped in the block, unless somebody else handles or ignores them."""
    is_main = threading.current_thread() is threading.main_thread()  # else Python allows no handlers
    return _Handlers() if is_main else contextlib.nullcontext()


class _Handlers:
    """The handlers of these signals, and of an exception of theirs that nobody gets."""

    def __init__(self) -> None:
        self.parent = os.getpid()
        self.is_command = CmdlineParser.get_instance() is not None  # else a program of somebody's, with its own ways
        self.is_stopping = False
        self.has_ended = False
        self.code = 0
        self.patience = PATIENCE
        self.hook = sys.unraisablehook
        found = {number: signal.getsignal(number) for number in (*NAMES, signal.SIGALRM)}
        self.former = {
            number: handler for number, handler in found.items() if handler is not None
        }  # None: not Python's

    def __enter__(self) -> None:
        sys.unraisablehook = self.hear
        for number, handler in self.former.items():
            is_free = handler in DEFAULTS or (self.is_command and handler is not signal.SIG_IGN)
            if number in NAMES and is_free:
                signal.signal(number, self.stop)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.has_ended = ends = self.is_command and self.is_stopping  # this process, whatever comes
        if not ends:
            sys.unraisablehook = self.hook
        for number, handler in self.former.items():
            signal.signal(number, signal.SIG_IGN if ends else handler)
        if ends and kind is not None and not issubclass(kind, Stopped):
            raise Stopped(self.code) from None  # Luigi ends a child that was not quite started, and stumbles

    def stop(self, number: int, frame: FrameType | None = None) -> None:
        if self.has_ended:  # while `__exit__` sees to it that they are ignored, none may end that half done
            return None
        self.is_stopping = True
        if self.patience and _may_hold_a_lock(frame):
            self.patience -= 1
            return self.come_again(number)
        self.code = 128 + number
        if os.getpid() != self.parent:
            _prepare_child(number)
        elif hasattr(sys, "ps1"):  # at a prompt, which stays
            raise KeyboardInterrupt
        raise Stopped(128 + number)

    def hear(self, lost: Any) -> None:
        """Stop again where nobody got the exception, as in a destructor or at a fork; what is torn may complain."""
        if issubclass(lost.exc_type, Stopped):
            self.come_again(lost.exc_value.code - 128)
        elif not self.is_stopping:
            self.hook(lost)

    def come_again(self, number: int) -> None:
        if self.has_ended:  # an alarm that comes while Python ends would kill it
            return
        signal.signal(signal.SIGALRM, lambda _, frame: self.stop(number, frame))
        signal.setitimer(signal.ITIMER_REAL, AGAIN)


@contextlib.contextmanager
def tidying_up() -> Iterator[None]:
    """Let a worker leave the block, whatever ends it: before it dies of the signal, as Luigi expects it to."""
    global _must_tidy_up  # noqa: PLW0603 - a process does one thing at a time
    _must_tidy_up = True
    try:
        yield
    except Stopped as stopped:
        _must_tidy_up = False
        if multiprocessing.parent_process() is not None and stopped.code != 128 + signal.SIGINT:
            _die_of(int(str(stopped.code)) - 128)
        raise
    finally:
        _must_tidy_up = False


def _die_of(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _may_hold_a_lock(frame: FrameType | None) -> bool:
    """Whether an exception here could leave a lock taken that Luigi's other thread, which is waited for, needs too.

    Between taking a lock, or asking for its release, and the `try` around it, Python lets an exception in.
    """
    while frame is not None:
        if frame.f_code.co_filename in LOCKING:
            return True
        frame = frame.f_back
    return False


def _prepare_child(number: int) -> None:
    """Let a forked process tidy up after Ctrl-C, for some seconds; it dies at once of others, and if it is no worker.

    Luigi tells a worker that was killed from one that failed.
    """
    if multiprocessing.parent_process() is None or (number != signal.SIGINT and not _must_tidy_up):
        _die_of(number)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # which would be heard again in what Luigi's process does after a fork
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the parent sends it next
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(CLEANING_UP)


def conclude(stopped: BaseException, worker: Any) -> str:
    """Tell the scheduler that nothing of a worker's runs any more, and give one sentence for the user."""
    name = NAMES[signal.Signals(getattr(stopped, "code", 128 + signal.SIGINT) - 128)]
    running = worker._running_tasks if worker else {}  # noqa: SLF001 - nobody else knows
    for task_id in running:
        # FAILED is the one word that frees a task which runs; after the last of its tries it would be disabled
        told = {"worker": worker._id, "status": FAILED, "expl": json.dumps(f"stopped by {name}")}  # noqa: SLF001
        try:
            worker._scheduler.add_task(task_id=task_id, **told)  # noqa: SLF001
            worker._scheduler.re_enable_task(task_id)  # noqa: SLF001
        except RPCError:
            break  # it is gone, and forgets the worker by itself
    what = " and ".join(dict.fromkeys(process.task.task_family for process in running.values()))
    return (
        f"Stopped by {name}{' in ' if what else ''}{what}: what was finished before is kept, and the same command goes "
        "on from there"
    )
