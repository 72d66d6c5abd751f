"""Run commands in turn and compare them pair by pair."""

from __future__ import annotations

import ctypes
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class Result:
    """One row of the table: a figure, what it may be at most (or at least), and how it was measured."""

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    samples: list[float] = field(default_factory=list)
    note: str = ""

    @property
    def verdict(self) -> str:
        """Whether the bound holds; empty without one."""
        if self.at_most is not None:
            return f"{'ok' if self.value <= self.at_most else 'MISSED'} (at most {self.at_most:g})"
        if self.at_least is not None:
            return f"{'ok' if self.value >= self.at_least else 'MISSED'} (at least {self.at_least:g})"
        return ""

    def as_json(self) -> dict[str, object]:
        """For the file."""
        return {**asdict(self), "verdict": self.verdict}


@dataclass(frozen=True)
class Usage:
    """What one command took: wall time, processor time of all its processes, and the peak of the largest of them."""

    seconds: float
    processor_seconds: float
    peak_bytes: int


def run(command: Sequence[str | Path], *, cwd: Path, env: dict[str, str] | None = None, alone: bool = True) -> Usage:
    """Run a command to its end; raises RuntimeError with its last lines if it fails.

    Where this process has other children, it is not `alone`, and what the command leaves behind is not waited for.
    """
    with (cwd / "output.log").open("w+b") as log:
        began = time.monotonic()
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        used, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss
        orphans = _orphans() if alone else ()  # engines outlive the process that they compute for, by milliseconds
        for more in orphans:
            used, peak = used + more.ru_utime + more.ru_stime, max(peak, more.ru_maxrss)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            log.seek(0)
            last = b"\n".join(log.read().splitlines()[-20:]).decode(errors="replace")
            raise RuntimeError(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{last}")
    return Usage(seconds, used, peak * 1024)


def _orphans() -> Iterator[resource.struct_rusage]:
    """What each process took that a finished command has left behind; it comes to this one, as `adopt` sees to."""
    while True:
        try:
            yield os.wait4(-1, 0)[2]
        except ChildProcessError:
            return


def adopt() -> None:
    """Let processes whose parent has ended become children of this one, so that what they took can be counted."""
    set_child_subreaper = 36  # PR_SET_CHILD_SUBREAPER of <sys/prctl.h>
    ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)


def descendants(pid: int) -> list[int]:
    """A process and all that descend from it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def tool(name: str) -> Path:
    """A command of the environment that runs this."""
    return Path(sys.executable).parent / name


def proportional_set_size(pid: int) -> float:
    """Bytes, each shared page counted in part; 0 for a process that has just ended."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024.0 * int(line.split()[1])
    except (OSError, ProcessLookupError):
        pass
    return 0.0


def in_turn(repeats: int, *measures: Callable[[], float]) -> list[list[float]]:
    """Call each of `measures` once a round, for `repeats` rounds; returns the values of each."""
    rounds = [[measure() for measure in measures] for _ in range(repeats)]
    return [list(values) for values in zip(*rounds, strict=True)]


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> tuple[float, list[float]]:
    """The median of the ratios within each round, and the ratios."""
    ratios = [above / below for above, below in zip(numerators, denominators, strict=True)]
    return statistics.median(ratios), ratios
