"""The process that runs functions which need TensorFlow, one call after another."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import pickle
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from tasks.execution.calls import ComputationFailed

LAST_WORDS = 20_000  # bytes of its stderr that are shown when an engine crashes
OWN = ("builtins", "tasks")  # exceptions of these modules travel as they are


@dataclass(frozen=True)
class Engine:
    """An engine as the nursery knows it; `stderr` is the file that TensorFlow's lines go to."""

    pid: int
    threads: int
    stderr: int

    def bury(self) -> None:
        """Wait for an engine that has ended, and show what TensorFlow wrote if it has crashed."""
        _, status = os.waitpid(self.pid, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGKILL:
            size = os.fstat(self.stderr).st_size
            with contextlib.suppress(OSError):
                os.write(2, os.pread(self.stderr, LAST_WORDS, max(0, size - LAST_WORDS)))
        os.close(self.stderr)


def import_all() -> Exception | None:
    """Import TensorFlow and what else engines need; returns what it fails with."""
    from tasks.model.tensorflow_setup import import_tensorflow

    try:
        import_tensorflow()
        from tasks.data import arrays  # noqa: F401 - shared by all engines
        from tasks.model import checkpoints, training  # noqa: F401
        from tasks.savedmodel import comparison, export, verification  # noqa: F401
    except Exception as error:  # noqa: BLE001 - every call gets it
        return error
    return None


def live(channel: socket.socket, threads: int, stderr: int, failure: Exception | None) -> NoReturn:
    """Answer calls until the nursery is gone; this process ends here."""
    try:
        _keep_chatter_in(stderr)
        if failure is None:
            from tasks.model.tensorflow_setup import prepare_tensorflow

            prepare_tensorflow(threads)
        while True:
            try:
                message, descriptors, _, _ = socket.recv_fds(channel, 4, 1)
            except ConnectionError:  # the nursery was killed before it had read what this one said last
                os._exit(0)
            if not message:
                os._exit(0)
            with Connection(descriptors[0]) as connection:
                answered = threading.Event()
                ends = os.dup(descriptors[0]), channel.fileno()
                threading.Thread(target=_end_with, args=(ends, answered), daemon=True).start()
                answered_with = answer(partial(_compute, connection, failure))
                answered.set()
                with contextlib.suppress(ConnectionError):  # with the nursery gone, the caller still gets its answer
                    channel.send(b"idle")
                with contextlib.suppress(ConnectionError):
                    connection.send_bytes(answered_with)
    except BaseException:  # noqa: BLE001 - nobody else will tell
        traceback.print_exc()
    finally:
        os._exit(1)


def answer(compute: Callable[[], Any]) -> bytes:
    """What `compute` returns, or what it raises in a form that can travel: pickled, with a word that says which."""
    try:
        return pickle.dumps(("result", compute()))
    except Exception as error:  # noqa: BLE001 - the caller raises it
        text = "".join(traceback.format_exception(error))
        error.__cause__ = error.__context__ = None  # tblib, where it is installed, pickles them; gRPC's cannot be
        if type(error).__module__.split(".")[0] in OWN:
            with contextlib.suppress(Exception):
                sent = pickle.dumps(("failed", (error, text)))
                pickle.loads(sent)  # noqa: S301 - one whose arguments are not its own cannot be read again
                return sent
        name = f"{type(error).__module__}.{type(error).__qualname__}"
        return pickle.dumps(("failed", (ComputationFailed(f"{name}: {error}"), text)))


def _compute(connection: Connection, failure: Exception | None) -> Any:
    if failure is not None:
        raise failure
    function, arguments, keywords, reports = pickle.loads(connection.recv_bytes())  # noqa: S301 - from who forked this
    if reports:
        keywords["report"] = lambda *told: connection.send(("report", told))
    result = function(*arguments, **keywords)
    with contextlib.suppress(OSError):  # nobody reads it any more
        sys.stdout.flush()
    return result


def _end_with(ends: tuple[int, int], answered: threading.Event) -> None:
    """End this process when its caller or the nursery does, unless the caller has its answer."""
    poll = select.poll()
    for end in ends:
        poll.register(end, select.POLLRDHUP)
    poll.poll()
    if not answered.is_set():
        os._exit(1)
    os.close(ends[0])


def _keep_chatter_in(stderr: int) -> None:
    """Send what C++ writes to stderr into a file; what Python writes still goes where it did."""
    python = os.fdopen(os.dup(2), "w", buffering=1)
    for handler in [*logging.getLogger().handlers, *logging.getLogger("luigi-interface").handlers]:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr:
            handler.setStream(python)
    sys.stderr = python
    os.dup2(stderr, 2)
    os.close(stderr)
    faulthandler.enable(2)
