"""Run functions on the workers of a Dask cluster: the same functions as in engines, and the same bytes.

A function's first argument is a folder to fill; every other `Path` to a folder among its arguments is one that it
reads. Folders travel as bytes: a small one with the call, a large one (the arrays) once to each worker, which keeps it
under a name that stands for its content. What was filled comes back as bytes too, and is written here. So nothing is
shared but the network, and a call can run on any worker, and again on another.

`distributed` is imported here and in `dask_worker` alone. It may be imported before a fork; a client, which has
threads, belongs to the process that made it.
"""

from __future__ import annotations

import logging
import os
import pickle
import queue
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from distributed import CancelledError, Client, KilledWorker, fire_and_forget

from tasks.errors import ClusterFailed, PipelineError
from tasks.execution import dask_worker
from tasks.execution.calls import ComputationFailed, RemoteTraceback, Report
from tasks.execution.dask_folders import Packer, content_if_small, read_files, write_files
from tasks.execution.dask_worker import TOPIC, Absent, Call

CONNECT_SECONDS = 7.0  # until the scheduler has answered, which may be busy
NO_WORKERS_SECONDS = 60.0  # without any worker; clusters that grow when there is work take a while
LOOK_SECONDS = 1.0  # how often it is looked whether there are workers
MOST_ATTEMPTS = 3
# As text: a name that a worker cannot import when it unpickles a message ends that worker, and a function sent as
# bytecode is for one version of Python. In either case this fails as a task that raises.
ENTER = "__import__('tasks.execution.dask_worker', fromlist=['compute']).compute(call, brought)"
IMPORT = "__import__('tasks.model.tensorflow_setup', fromlist=['import_tensorflow']).import_tensorflow()"

logger = logging.getLogger(__name__)


def prepare() -> None:
    """Find out once, for all processes that are forked from this one, what the workers have to have."""
    dask_worker.computed_with()


def warm_up(address: str, most: int) -> None:
    """Let so many workers import TensorFlow beside what this process does next.

    Where that fails, a call will fail of it too, and tell.

    Raises:
        ClusterFailed: no scheduler answers.
    """
    client = _connect(address).client
    for worker in list(client.scheduler_info()["workers"])[:most]:
        key = f"import_tensorflow-{secrets.token_hex(8)}"
        fire_and_forget(client.submit(eval, IMPORT, workers=[worker], key=key, pure=False))


def run(
    address: str,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    keywords: Mapping[str, Any],
    *,
    threads: int,
    report: Report | None,
) -> Any:
    """Call `function` on a worker of the scheduler at `address`; see `calls.run`.

    Raises:
        ClusterFailed: no scheduler, no worker, one that is not fit, or too many that were lost.
    """
    cluster = _connect(address)
    packer = Packer(arguments[0])
    call = Call(
        number="",
        packed=packer.pack((function, arguments, keywords)),
        folders={name: content_if_small(folder) for name, folder in packer.folders.items()},
        registered=pickle.dumps([dict(one) for one in dask_worker.REGISTRIES]),
        computed_with=dask_worker.computed_with(),
        threads=threads,
        reports=report is not None,
    )
    kind, value = cluster.call(call, function.__name__, report)
    while isinstance(value, Absent):
        brought = {name: read_files(packer.folders[name]) for name in value.names}
        # apart from the call, which is kept in the scheduler's memory
        [content] = cluster.client.scatter([brought], workers=[value.worker], hash=False)
        kind, value = cluster.call(call, function.__name__, report, content)
    if kind == "failed":
        error, text = value
        if isinstance(error, PipelineError):
            raise error from RemoteTraceback(text)
        told = str(error) if isinstance(error, ComputationFailed) else f"{_name(error)}: {error}"
        raise ComputationFailed(f"{told} ({_place(text)})") from RemoteTraceback(text)
    result, files = value
    write_files(files, arguments[0])
    return result


class _Cluster:
    """The client that this process has of a scheduler, and what the workers say of its calls."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.process = os.getpid()
        self.said: dict[str, queue.SimpleQueue[dict[str, Any] | None]] = {}
        self.client = _make_client(address)
        self.client.subscribe_topic(TOPIC, self._hear)

    @property
    def usable(self) -> bool:
        """Whether this process made it, and the scheduler is still there."""
        return self.process == os.getpid() and self.client.status == "running"

    def call(self, call: Call, name: str, report: Report | None, brought: Any = None) -> tuple[str, Any]:
        """Have a worker compute it, and wait for its answer."""
        number = secrets.token_hex(8)
        said = self.said[number] = queue.SimpleQueue()
        sent = {"call": pickle.dumps(replace(call, number=number)), "brought": brought or {}}
        future = self.client.submit(eval, ENTER, sent, key=f"{name}-{number}", pure=False)
        try:
            future.add_done_callback(lambda _: said.put(None))
            self._follow(said, name, report)
            answer: tuple[str, Any] = pickle.loads(self._result(future, name))  # noqa: S301 - from who computes for us
        finally:
            future.cancel()  # a finished one is forgotten by it, on all sides
            del self.said[number]
        return answer

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        _, message = event
        if message["call"] in self.said:  # the others are another process's
            self.said[message["call"]].put(message)

    def _follow(self, said: queue.SimpleQueue[dict[str, Any] | None], name: str, report: Report | None) -> None:
        """Hand on what the worker reports until it has answered; Dask begins anew when one is lost."""
        workers: list[str] = []
        last_seen = time.monotonic()
        while True:
            try:
                message = said.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                last_seen = self._check_workers(last_seen)
                continue
            if message is None:
                return
            if "report" in message:
                if report is not None:
                    report(*message["report"])
                continue
            workers.append(message["started"])
            if len(workers) > MOST_ATTEMPTS:
                raise self._lost(name, workers[:-1])
            if len(workers) > 1:
                logger.warning("The Dask worker %s was lost; %s begins anew on %s", workers[-2], name, workers[-1])

    def _check_workers(self, last_seen: float) -> float:
        """When there was a worker last; raises ClusterFailed if that is long ago."""
        if self.client.status != "running" or self.client.scheduler_info()["workers"]:
            return time.monotonic()
        if time.monotonic() - last_seen > NO_WORKERS_SECONDS:
            raise ClusterFailed(
                f"the Dask scheduler at {self.address} has had no worker for {NO_WORKERS_SECONDS:g} s; start one with "
                f"`dask worker {self.address} --nthreads 1`"
            )
        return last_seen

    def _result(self, future: Any, name: str) -> bytes:
        try:
            answer: bytes = future.result()
        except KilledWorker as error:
            raise self._lost(name, [error.last_worker.address]) from error
        except CancelledError as error:
            raise ClusterFailed(
                f"the Dask scheduler at {self.address} was lost while {name} ran; what was finished is kept: start one "
                "and run again, and it goes on from there"
            ) from error
        except Exception as error:  # it never came to our code, which answers in any case
            raise ClusterFailed(
                f"a Dask worker of {self.address} cannot run this package ({_name(error)}: {error}); install the same "
                "version there"
            ) from error
        return answer

    def _lost(self, name: str, workers: list[str]) -> ClusterFailed:
        return ClusterFailed(
            f"{name} was tried {MOST_ATTEMPTS} times, and each time its Dask worker was lost ({', '.join(workers)}); "
            "their logs say why: often it is memory. What was finished is kept"
        )


_cluster: _Cluster | None = None


def _make_client(address: str) -> Any:
    """A client; made by a thread, as it would wait for ever for what takes its connection and says nothing."""
    made: queue.SimpleQueue[Client | Exception] = queue.SimpleQueue()

    def make() -> None:
        try:
            made.put(Client(address, timeout=CONNECT_SECONDS, set_as_default=False, name=TOPIC))
        except Exception as error:  # noqa: BLE001 - where it is no scheduler that answers, it can be anything
            made.put(error)

    threading.Thread(target=make, daemon=True).start()
    try:
        client = made.get(timeout=CONNECT_SECONDS)
    except queue.Empty as error:
        client = error
    if isinstance(client, Exception):
        raise ClusterFailed(
            f"no Dask scheduler answers at {address} within {CONNECT_SECONDS:g} s: start one with `dask scheduler` "
            f"and workers with `dask worker {address} --nthreads 1`, or set engine = local in luigi.cfg [execution]"
        ) from client
    return client


def _connect(address: str) -> _Cluster:
    global _cluster  # noqa: PLW0603 - one for this process
    if _cluster is None or not _cluster.usable or _cluster.address != address:
        _cluster = _Cluster(address)
    return _cluster


def _name(error: BaseException) -> str:
    return type(error).__name__


def _place(traceback: str) -> str:
    """File and line of the last entry in a traceback, if one can, that is not of an installed package."""
    places = re.findall(r'File "([^"]+)", line ([0-9]+)', traceback)
    own = [place for place in places if "site-packages" not in place[0]]
    return "{}, line {}".format(*(own or places)[-1])
