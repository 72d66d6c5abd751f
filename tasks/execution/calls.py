"""Run functions in processes that have TensorFlow, from processes that do not.

`run(function, *arguments)` calls a plain function of paths and small values in an *engine*: a process that keeps its
graphs and sessions warm from call to call. Engines are forked by the *nursery* (`tasks.execution.nursery`), which has
imported TensorFlow; the nursery is forked off the first process that needs it, so that it knows what was registered
there, and every process forked from that one can call through the descriptor that it inherits. There is no address to
guess and no file to leave behind.

Whoever dies takes those with it that work for it, because every tie is a socket that the kernel closes: an engine whose
caller is gone ends at once, a caller whose engine is gone gets `EngineEnded` and its next call a fresh engine; when the
last process that could call is gone, nursery and engines end.
"""

from __future__ import annotations

import os
import pickle
import select
import socket
import sys
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from tasks.errors import EngineEnded
from tasks.recipes.registry import ARCHITECTURES, DATASETS, OPTIMIZERS

Report = Callable[[float, str], None]


class ComputationFailed(Exception):
    """What an engine's function raised, where the exception itself would bring TensorFlow along."""


class RemoteTraceback(Exception):
    """The traceback of an exception in the engine, shown as the cause of that exception here."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n{self.text}"


_nursery: socket.socket | None = None  # one for this process and all that it forks
_known: list[dict[str, Any]] = []  # what was registered when it was forked


def start(cluster: str | None = None) -> None:
    """Let TensorFlow's import begin beside what this process does next; does nothing while there is a nursery.

    Where a Dask cluster computes (the address of its scheduler), there is none, and its client is imported instead.

    To be called before this process forks those that will call. A nursery that was forked before something was
    registered, as in a notebook, knows nothing of it: another one takes its place.
    """
    global _nursery, _known
    if cluster is not None:
        from tasks.execution import dask_cluster  # once, for all that this process forks

        dask_cluster.prepare()
        return
    if "tensorflow" in sys.modules:
        return
    registered = [dict(registry) for registry in (ARCHITECTURES, DATASETS, OPTIMIZERS)]
    if _nursery is not None:
        poll = select.poll()
        poll.register(_nursery, select.POLLRDHUP)
        if registered == _known and not poll.poll(0):
            return
        _nursery.close()
    from tasks.execution import nursery

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    if os.fork() == 0:
        try:
            nursery.live(theirs)
        finally:
            os._exit(1)
    theirs.close()
    _nursery, _known = ours, registered


def warm_up(cluster: str | None, workers: int) -> None:
    """Let so many workers of a Dask cluster import TensorFlow beside what this process does next; `start` for engines.

    Raises:
        ClusterFailed: its scheduler does not answer.
    """
    if cluster is not None:
        from tasks.execution import dask_cluster

        dask_cluster.warm_up(cluster, workers)


def run(
    function: Callable[..., Any],
    /,
    *arguments: Any,
    threads: int,
    report: Report | None = None,
    cluster: str | None = None,
    **keywords: Any,
) -> Any:
    """Call `function(*arguments, **keywords)` in an engine, or on a Dask cluster, and return what it returns.

    Args:
        function: a function of a module; it, its arguments and what it returns are pickled.
        arguments: its positional arguments.
        threads: TensorFlow's threads in the engine; part of what shapes the bits.
        report: called with whatever the function gives to its keyword argument `report`; not handed on if None.
        cluster: the address of a Dask scheduler, whose workers compute; see `tasks.execution.dask_cluster`.
        keywords: its other keyword arguments.

    Raises:
        EngineEnded: the engine was killed, or crashed.
        ClusterFailed: the cluster could not compute it.
        ComputationFailed: the function raised an exception that neither Python nor this package defines.
        Exception: whatever else it raised.
    """
    if cluster is not None:
        from tasks.execution import dask_cluster

        return dask_cluster.run(cluster, function, arguments, keywords, threads=threads, report=report)
    if "tensorflow" in sys.modules:  # a process that has used it cannot be forked, and needs no other to compute
        return _run_here(partial(function, *arguments, **keywords), threads, report)
    ours, theirs = socket.socketpair()
    with Connection(ours.detach()) as connection:
        with theirs:
            _hand_on(theirs, threads)
        call = pickle.dumps((function, arguments, keywords, report is not None))
        kind, value = _exchange(connection, function.__name__, call)
        while kind == "report":
            if report is not None:
                report(*value)
            kind, value = _exchange(connection, function.__name__)
    if kind == "failed":
        raise value[0] from RemoteTraceback(value[1])
    return value


def _exchange(connection: Connection, name: str, call: bytes | None = None) -> tuple[str, Any]:
    """Send a call, if there is one, and wait for what the engine says next."""
    try:
        if call is not None:
            connection.send_bytes(call)
        said: tuple[str, Any] = connection.recv()
    except (EOFError, ConnectionError) as error:
        raise EngineEnded(
            f"the process that ran {name} was killed or crashed; nothing that was finished is lost: run again, and it "
            "goes on from there"
        ) from error
    return said


def _run_here(function: Callable[..., Any], threads: int, report: Report | None) -> Any:
    from tasks.model.tensorflow_setup import prepare_tensorflow

    prepare_tensorflow(threads)
    return function() if report is None else function(report=report)


def _hand_on(end: socket.socket, threads: int) -> None:
    """Give one end of a call to the nursery; to a new one if the last is gone."""
    start()
    try:
        socket.send_fds(_nursery, [str(threads).encode()], [end.fileno()])  # type: ignore[arg-type]
    except ConnectionError:  # it has ended since
        start()
        socket.send_fds(_nursery, [str(threads).encode()], [end.fileno()])  # type: ignore[arg-type]
