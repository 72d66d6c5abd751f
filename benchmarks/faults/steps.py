"""The tasks, with a fault at the n-th step of what they do to files: `luigi --module benchmarks.faults.steps TASK ...`.

A step is a call that changes something below the folder $FAULT_BELOW, as far as Python makes it in Luigi's own process:
to open a file for writing, write, fsync, syncfs, mkdir, rename, link, unlink, rmdir, chmod, truncate, lock. $FAULT says
what is to happen:

- `count:0`: the name of each step is added to the file $FAULT_STEPS;
- `kill:7`: the process is killed before its seventh step;
- `EIO:7`: the seventh step fails, as with a bad disk;
- `ENOSPC:7`: the seventh step and all later ones that need room fail, as with a full disk.

$FAULT_CLOCK sets the clock of this process forward or back by so many seconds.
"""

from __future__ import annotations

import errno
import itertools
import os
import signal
import sys
import time
from typing import Any

import tasks

__all__ = ["tasks"]

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
CHANGES = {"os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir", "os.chmod", "os.truncate", "fcntl.flock"}
NEED_ROOM = {"open", "os.write", "os.fsync", "syncfs", "os.mkdir", "os.link"}

_process = os.getpid()
_what, _, _number = os.environ.get("FAULT", ":0").partition(":")
_below = os.environ.get("FAULT_BELOW", "/nowhere")
_steps = itertools.count(1)


def _step(name: str, *, needs_room: bool = True) -> None:
    number = next(_steps)
    if _what == "count":
        handle = _open(os.environ["FAULT_STEPS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        _write(handle, f"{name}\n".encode())
        os.close(handle)
    elif _what == "kill" and number == int(_number):
        os.kill(_process, signal.SIGKILL)
    elif number == int(_number) or (_what == "ENOSPC" and number > int(_number) and name in NEED_ROOM and needs_room):
        code = getattr(errno, _what)
        raise OSError(code, os.strerror(code))


def _is_below(value: Any) -> bool:
    try:
        if isinstance(value, int):
            value = os.readlink(f"/proc/self/fd/{value}")  # noqa: PTH115 - calls that are no events themselves
        return os.path.abspath(os.fsdecode(value)).startswith(_below)  # noqa: PTH100
    except (OSError, TypeError, ValueError):
        return False


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if os.getpid() != _process:
        return
    if event == "open":
        path, _, flags = arguments
        if flags & WRITES and not isinstance(path, int) and path != os.environ.get("FAULT_STEPS") and _is_below(path):
            _step(event, needs_room=not os.path.lexists(path))
    elif event in CHANGES and any(map(_is_below, arguments)):
        _step(event)
    elif event == "ctypes.dlsym" and arguments[1] == "syncfs":
        _step("syncfs")


_open, _write, _fsync = os.open, os.write, os.fsync


def _counted_write(handle: int, content: bytes) -> int:
    if os.getpid() == _process and _is_below(handle):
        _step("os.write")
    return _write(handle, content)


def _counted_fsync(handle: int) -> None:
    if os.getpid() == _process and _is_below(handle):
        _step("os.fsync")
    _fsync(handle)


if _what:
    os.write, os.fsync = _counted_write, _counted_fsync  # type: ignore[assignment]
    sys.addaudithook(_hear)
if "FAULT_CLOCK" in os.environ:
    _now, _shift = time.time, float(os.environ["FAULT_CLOCK"])
    time.time = lambda: _now() + _shift
