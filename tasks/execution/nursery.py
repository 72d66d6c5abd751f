"""The process that imports TensorFlow, runs no op, and forks an engine whenever a call comes and all others are busy.

A call is a datagram on an inherited socket: how many threads, and one end of a socket pair whose other end the caller
holds. The nursery hands that end to an idle engine with so many threads, or to a new one; an engine says over a socket
of its own that it is idle again. What TensorFlow writes to stderr goes to a file without a name, one for each engine,
and is shown only if that engine crashes.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from tasks.execution import engine

LOOK_SECONDS = 0.2  # how often it looks, while TensorFlow is imported, whether anybody is left who could call


def live(calls: socket.socket) -> NoReturn:
    """Take calls until nobody is left who could make one; this process ends here."""
    try:
        os.setsid()  # a terminal's Ctrl-C is for Luigi, which then closes its end
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        _let_go_of_all_but(calls.fileno())
        with _end_when_alone(calls):
            failure = engine.import_all()
        _Nursery(calls, failure).take_calls()
    except BaseException:  # noqa: BLE001 - nobody else will tell
        traceback.print_exc()
    finally:
        os._exit(1)


class _Nursery:
    def __init__(self, calls: socket.socket, failure: Exception | None) -> None:
        self.calls = calls
        self.failure = failure
        self.engines: dict[socket.socket, engine.Engine] = {}
        self.idle: list[socket.socket] = []  # the one that was busy last at the end
        self.selector = selectors.DefaultSelector()
        self.selector.register(calls, selectors.EVENT_READ)

    def take_calls(self) -> None:
        while True:
            # calls last: an engine says that it is idle before its caller has the answer, and may call again
            ready = [key.fileobj for key, _ in self.selector.select()]
            for channel in sorted(ready, key=lambda one: one is self.calls):
                if channel is self.calls:
                    self._take_call()
                else:
                    self._hear(channel)  # type: ignore[arg-type]

    def _take_call(self) -> None:
        header, descriptors, _, _ = socket.recv_fds(self.calls, 16, 1)
        if not header:  # nobody is left who could call
            for one in self.engines.values():
                os.kill(one.pid, signal.SIGKILL)
            os._exit(0)
        threads = int(header)
        try:
            channel = next((one for one in reversed(self.idle) if self.engines[one].threads == threads), None)
            if channel is None:
                channel = self._fork(threads, descriptors)
            else:
                self.idle.remove(channel)
            socket.send_fds(channel, [b"call"], descriptors)
        except OSError as error:  # no engine can be had, or it has died: the caller's end closes with this one
            print(f"no process to compute in: {error}", file=sys.stderr)  # noqa: T201 - there is no logger here
        for descriptor in descriptors:
            os.close(descriptor)

    def _hear(self, channel: socket.socket) -> None:
        with contextlib.suppress(ConnectionError):
            if channel.recv(4):
                self.idle.append(channel)
                return
        self.selector.unregister(channel)
        channel.close()
        self.idle = [one for one in self.idle if one is not channel]
        self.engines.pop(channel).bury()

    def _fork(self, threads: int, descriptors: list[int]) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stderr = os.memfd_create("engine-stderr")
        pid = os.fork()
        if pid == 0:
            inherited = [ours, self.calls, *self.engines]
            for one in inherited:
                one.close()
            self.selector.close()
            for number in [*descriptors, *(other.stderr for other in self.engines.values())]:
                os.close(number)
            engine.live(theirs, threads, stderr, self.failure)
        theirs.close()
        self.engines[ours] = engine.Engine(pid, threads, stderr)
        self.selector.register(ours, selectors.EVENT_READ)
        return ours


@contextlib.contextmanager
def _end_when_alone(calls: socket.socket):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """End this process in the block, which reads no socket, when nobody is left who could call."""
    poll = select.poll()
    poll.register(calls, select.POLLRDHUP)

    def look(*_: object) -> None:
        if poll.poll(0):
            os._exit(0)

    signal.signal(signal.SIGALRM, look)
    signal.siginterrupt(signal.SIGALRM, False)
    signal.setitimer(signal.ITIMER_REAL, LOOK_SECONDS, LOOK_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def _let_go_of_all_but(kept: int) -> None:
    """Let go of what was inherited open (locks of Luigi's process, its connections) but the standard streams.

    Each number stays taken, by /dev/null: objects of the process that this was forked from may still close theirs.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    for entry in Path("/proc/self/fd").iterdir():
        number = int(entry.name)
        if number > 2 and number not in {kept, nowhere}:  # noqa: PLR2004 - stdin, stdout, stderr
            with contextlib.suppress(OSError):  # the one that listed this folder
                os.fstat(number)
                os.dup2(nowhere, number, inheritable=False)
