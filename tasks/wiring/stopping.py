"""How a run ends that is told to: by Ctrl-C, or by SIGTERM.

A signal raises `Stopped` wherever the run is, in Luigi's process and in its workers alike. What was being written is
removed on the way up or swept by the next run, engines end with their callers, and the scheduler is told, so that the
next run finds every task free at once.
"""

import contextlib
import json
import multiprocessing
import os
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
AGAIN = 0.02  # seconds after which a signal comes again that fell where Python lets no exception out
NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


class Stopped(SystemExit, KeyboardInterrupt):
    """The run was told to end. Luigi lets a KeyboardInterrupt pass; Python and multiprocessing end quietly with a
    SystemExit, whose code is 128 and the signal's number, as a shell would say.
    """  # noqa: D205 - both halves are the point


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Let both signals raise Stopped in the block, unless somebody else handles or ignores them."""
    parent = os.getpid()
    is_command = CmdlineParser.get_instance() is not None  # else a program of somebody's, which may have its own ways
    defaults = (signal.SIG_DFL, signal.default_int_handler)
    hook, former = sys.unraisablehook, {}

    def stop(number: int, _: FrameType | None = None) -> None:
        if os.getpid() == parent:
            raise KeyboardInterrupt if hasattr(sys, "ps1") else Stopped(128 + number)  # ps1: at a prompt, which stays
        if number == signal.SIGTERM or multiprocessing.parent_process() is None:
            signal.signal(number, signal.SIG_DFL)  # Luigi tells a worker that was killed from one that failed
            os.kill(os.getpid(), number)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the parent sends it next
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(CLEANING_UP)
        raise Stopped(128 + number)

    def stop_again(lost: Any) -> None:
        """Hear of an exception that nobody gets, as in a destructor or at a fork."""
        if not issubclass(lost.exc_type, Stopped):
            return hook(lost)
        signal.signal(signal.SIGALRM, lambda *_: stop(lost.exc_value.code - 128))
        signal.setitimer(signal.ITIMER_REAL, AGAIN)
        return None

    if threading.current_thread() is threading.main_thread():
        sys.unraisablehook = stop_again
        former = {number: signal.getsignal(number) for number in (*NAMES, signal.SIGALRM)}
        for number in NAMES:
            if former[number] in defaults or (is_command and former[number] is not signal.SIG_IGN):
                signal.signal(number, stop)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in former.items():
            signal.signal(number, handler)


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
