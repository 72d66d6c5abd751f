"""How much memory and how many open files processes have, again and again, and whether both stay level."""

from __future__ import annotations

import csv
import os
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
PAGE = os.sysconf("SC_PAGE_SIZE")
MORE_MEMORY, MORE_BYTES = 0.03, 3 * MIB  # that the last quarter may take more than the second
MORE_FILES = 2


@dataclass(frozen=True)
class Sample:
    """One look at one process, or at several of the same kind: resident bytes and open files of them together."""

    seconds: float  # since the run began
    name: str
    memory: int
    files: int


@dataclass(frozen=True)
class Level:
    """Memory (bytes, medians) and open files (the fewest) in the second quarter of a run, and in its last."""

    memory: tuple[float, float]
    files: tuple[int, int]

    @property
    def is_level(self) -> bool:
        """Whether the last quarter has no more of both than the second one, but for what is allowed."""
        (memory, last_memory), (files, last_files) = self.memory, self.files
        return last_memory <= memory * (1 + MORE_MEMORY) + MORE_BYTES and last_files <= files + MORE_FILES


def level(samples: Sequence[Sample]) -> Level:
    """Compare the quarters of what was seen of one process; raises ValueError where one of the two is empty."""
    first, last = samples[0].seconds, samples[-1].seconds
    quarters: list[list[Sample]] = [[], [], [], []]
    for sample in samples:
        quarters[min(3, int(4 * (sample.seconds - first) / (last - first or 1)))].append(sample)
    _, second, _, fourth = quarters
    if not second or not fourth:
        raise ValueError(f"{samples[0].name}: {len(samples)} samples are too few to compare")
    return Level(
        (statistics.median(one.memory for one in second), statistics.median(one.memory for one in fourth)),
        (min(one.files for one in second), min(one.files for one in fourth)),
    )


def by_name(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """The samples of each process."""
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample.name, []).append(sample)
    return found


class Sampler(threading.Thread):
    """Looks at processes every so many seconds, until it is told to end."""

    def __init__(self, find: Callable[[], Mapping[str, Sequence[int]]], seconds: float) -> None:
        super().__init__(daemon=True)
        self.find, self.every, self.samples, self.ended = find, seconds, list[Sample](), threading.Event()

    def run(self) -> None:
        began = time.monotonic()
        while not self.ended.wait(self.every):
            for name, pids in self.find().items():
                looks = [look for pid in pids if (look := look_at(pid))]
                if looks:
                    memory, files = (sum(values) for values in zip(*looks, strict=True))
                    self.samples.append(Sample(round(time.monotonic() - began, 1), name, memory, files))

    def end(self) -> list[Sample]:
        """End it; gives what it has seen."""
        self.ended.set()
        self.join()
        return self.samples


def look_at(pid: int) -> tuple[int, int] | None:
    """Resident bytes and open files of a process; nothing of one that has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * PAGE, len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return None


def write_csv(samples: Sequence[Sample], path: Path) -> None:
    """Write all samples, a line each."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["seconds", "process", "memory_bytes", "open_files"])
        writer.writerows([one.seconds, one.name, one.memory, one.files] for one in samples)
