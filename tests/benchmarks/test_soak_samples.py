"""Whether memory and open files stay level is told from samples; the leaks here are made up, the processes are real."""

import csv
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.soak.samples import MIB, Sample, Sampler, by_name, level, look_at, write_csv

MINUTES = 60
SECONDS = range(0, 60 * MINUTES, 5)


def run(memory=lambda _: 400 * MIB, files=lambda _: 12, seconds=SECONDS):
    """A run whose memory and open files are these, as functions of the minute."""
    return [Sample(second, "resident", int(memory(second / 60)), int(files(second / 60))) for second in seconds]


def noise(share):
    """Numbers around 0, the same in each run of the tests."""
    draw = random.Random(1)
    return lambda: draw.gauss(0, share)


def test_what_stays_the_same_is_level():
    """The quarters are compared by what is in them."""
    found = level(run())
    assert ((400 * MIB, 400 * MIB), (12, 12)) == (found.memory, found.files)
    assert found.is_level


@pytest.mark.parametrize("start", [60, 150, 600])
def test_a_leak_of_a_mebibyte_a_minute_is_found(start):
    """Of 60 minutes, in processes of different sizes, below noise of 2 %."""
    around = noise(0.02 * start * MIB)
    assert not level(run(lambda minute: (start + minute) * MIB + around())).is_level


def test_noise_is_no_leak():
    """Memory that is 5 % more or less at each look, and single peaks, are level."""
    around = noise(0.05 * 400 * MIB)
    assert level(run(lambda minute: 400 * MIB + around() + (minute % 10 == 0) * 300 * MIB)).is_level


def test_what_is_taken_once_in_the_first_quarter_is_no_leak():
    """Caches that fill while a process warms up are not held against it."""
    assert level(run(lambda minute: min(100 + 20 * minute, 300) * MIB)).is_level


def test_what_is_taken_in_the_third_quarter_is_found():
    """A step that stays."""
    assert not level(run(lambda minute: (100 + 10 * (minute > 35)) * MIB)).is_level


def test_files_that_are_not_closed_are_found():
    """One in ten minutes, below open files that come and go."""
    draw = random.Random(1)
    assert not level(run(files=lambda minute: 8 + minute // 10 + draw.randrange(0, 20))).is_level


def test_files_that_come_and_go_are_level():
    """4 to 25, as with queues that wait for Python to look for garbage."""
    draw = random.Random(1)
    assert level(run(files=lambda _: draw.randint(4, 25))).is_level


def test_few_samples_are_refused():
    """Nothing is said of a quarter in which nobody looked."""
    with pytest.raises(ValueError, match=r"resident: 2 samples are too few"):
        level(run(seconds=[0, 5]))


def test_a_process_is_looked_at():
    """What /proc says of this one, and of one more that has ended: nothing."""
    memory, files = look_at(os.getpid())
    with Path(os.devnull).open() as _, Path(os.devnull).open() as _:
        more = look_at(os.getpid())[1]
    assert MIB < memory
    assert files + 2 == more
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert look_at(ended.pid) is None


def test_samples_of_several_processes_of_a_kind_are_added_up():
    """Those that have ended meanwhile count nothing, and a kind without any has no sample."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    ended = subprocess.Popen(["true"])
    ended.wait()
    sampler = Sampler(lambda: {"two": [process.pid, os.getpid()], "none": [ended.pid]}, 0.01)
    sampler.start()
    deadline = time.monotonic() + 30
    while not sampler.samples and time.monotonic() < deadline:
        time.sleep(0.01)
    samples = sampler.end()
    process.communicate()
    assert {"two"} == set(by_name(samples))
    assert samples[0].files > look_at(os.getpid())[1]


def test_samples_are_written_as_csv(tmp_path):
    """A line each, below a heading."""
    write_csv(run(seconds=[0, 5]), tmp_path / "soak.csv")
    with (tmp_path / "soak.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [("0", "resident", str(400 * MIB), "12"), ("5", "resident", str(400 * MIB), "12")] == [
        (row["seconds"], row["process"], row["memory_bytes"], row["open_files"]) for row in rows
    ]
