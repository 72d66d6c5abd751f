"""The faults that are tried, each as a generator of trials: functions that raise Lost if something was lost."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.faults.place import STRIKES, Lost, Place, check_end, differences, finish, strike
from benchmarks.faults.stage import COMMANDS, MANY, Stage
from benchmarks.measuring import tool

Trial = Callable[[Path], None]  # in a folder of its own, which need not exist
ERRORS = ("kill", "EIO", "ENOSPC")


def every_step(stage: Stage, _: random.Random) -> Iterator[tuple[str, Trial]]:
    """Each command killed before, or failing at, every step of what it does to files."""
    for name in COMMANDS:
        expected, steps = stage.undisturbed(name)
        for number in range(1, len(steps) + 1):
            for error in ERRORS:
                yield f"{error} at each step: {name}", partial(_at_step, stage, name, expected, error, number)


def _at_step(stage: Stage, name: str, expected: dict[str, str], error: str, number: int, folder: Path) -> None:
    place = stage.origin(name).copy(folder)
    code, told = place.run(*COMMANDS[name], env={"FAULT": f"{error}:{number}"})
    check_end(code, told, killed=error == "kill")
    place.check_versions(stage.good)
    _check_rerun(stage, place, COMMANDS[name], expected)


def _check_rerun(stage: Stage, place: Place, command: tuple[str, ...], expected: dict[str, str]) -> None:
    """No process is left, the same command completes, and all is as if nothing had happened."""
    place.check_alone()
    place.must(*command)
    place.check_versions(stage.good)
    place.check_log()
    if different := differences(expected, place.content()):
        raise Lost(f"not as undisturbed after a rerun: {', '.join(different[:6])}")


def killed_processes(stage: Stage, draw: random.Random) -> Iterator[tuple[str, Trial]]:
    """Luigi, a worker, the nursery or an engine killed at a random moment of a run with two workers, or all at once."""
    expected = stage.after("many")
    while True:
        for who in STRIKES:
            yield (
                f"{who} at a random moment",
                partial(_kill, stage, expected, who, draw.uniform(0.3, 4.0), draw.random()),
            )


def _kill(stage: Stage, expected: dict[str, str], who: str, seconds: float, share: float, folder: Path) -> None:
    place = stage.full.copy(folder)
    process = place.start(*MANY)
    time.sleep(seconds)
    strike(process, who, share)
    code, told = finish(process)
    check_end(code, told, killed=True)
    place.check_versions(stage.good)
    _check_rerun(stage, place, MANY, expected)


def small_files(stage: Stage, draw: random.Random) -> Iterator[tuple[str, Trial]]:
    """No file may grow beyond a random size: writes are cut short, in every process."""
    while True:
        name, limit = draw.choice(list(COMMANDS)), draw.choice([1, 2, 4, 16, 40, 64]) << 10
        yield "no file beyond a size", partial(_limited, stage, name, stage.after(name), limit)


def _limited(stage: Stage, name: str, expected: dict[str, str], limit: int, folder: Path) -> None:
    place = stage.origin(name).copy(folder)
    code, told = place.run(*COMMANDS[name], limit=limit)
    check_end(code, told)
    place.check_versions(stage.good)
    _check_rerun(stage, place, COMMANDS[name], expected)


def damaged_files(stage: Stage, draw: random.Random) -> Iterator[tuple[str, Trial]]:
    """A file below work/ or models/ with a flipped bit, cut short, emptied, gone, or a FIFO in its place."""
    expected = stage.after("publish")
    names = [str(path.relative_to(stage.full.folder)) for path in stage.full.folder.rglob("*") if path.is_file()]
    work = [name for name in names if name.startswith("work/") and not name.endswith((".lock", "records.jsonl"))]
    versions = [name for name in names if name.startswith("models/mnist/1/")]
    while True:
        for kind in ("bit", "cut", "empty", "gone", "FIFO"):
            seed = draw.random()
            yield f"{kind} in the work directory", partial(_heals, stage, expected, draw.choice(work), kind, seed)
            yield f"{kind} in a version", partial(_is_named, stage, draw.choice(versions), kind, seed)


def _damage(path: Path, kind: str, seed: float) -> None:
    content = bytearray(path.read_bytes())
    path.unlink()
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind != "gone":
        at = int(seed * len(content))
        if kind == "bit" and content:
            content[at] ^= 1 << int(seed * 1e6) % 8
        path.write_bytes(b"" if kind == "empty" else content[:at] if kind == "cut" else content)


def _heals(stage: Stage, expected: dict[str, str], name: str, kind: str, seed: float, folder: Path) -> None:
    """What can be made again is made again, or named; a version is never made of it."""
    place = stage.full.copy(folder)
    _damage(place.folder / name, kind, seed)
    code, told = place.run(*COMMANDS["publish"])
    check_end(code, told)
    place.check_versions(stage.good)
    if code == 0 and (
        different := [one for one in differences(expected, place.content()) if one.startswith("models/")]
    ):
        raise Lost(f"{name} ({kind}): another version came of it: {', '.join(different[:6])}")


def _is_named(stage: Stage, name: str, kind: str, seed: float, folder: Path) -> None:
    """A version that is not as it was made is told by VerifyVersions."""
    place = stage.full.copy(folder)
    before = (place.folder / name).read_bytes()
    _damage(place.folder / name, kind, seed)
    path = place.folder / name
    if path.is_file() and path.read_bytes() == before:
        return
    code, told = place.run("VerifyVersions")
    check_end(code, told)
    if code == 0:
        raise Lost(f"{name} ({kind}): VerifyVersions found nothing")


def dying_schedulers(stage: Stage, draw: random.Random) -> Iterator[tuple[str, Trial]]:
    """The scheduler killed at a random moment of a run."""
    expected = stage.after("many")
    while True:
        yield "luigid killed in a run", partial(_without_scheduler, stage, expected, draw.uniform(0.0, 4.0))


def _without_scheduler(stage: Stage, expected: dict[str, str], seconds: float, folder: Path) -> None:
    place = stage.full.copy(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    state = place.folder.with_suffix(".state")
    luigid = subprocess.Popen(
        [tool("luigid"), "--address", "127.0.0.1", "--port", str(port), "--state-path", state],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 20
        while socket.socket().connect_ex(("127.0.0.1", port)) and time.monotonic() < deadline:
            time.sleep(0.1)
        process = place.start(*MANY, "--scheduler-port", str(port), "--scheduler-host", "127.0.0.1", local=False)
        time.sleep(seconds)
    finally:
        luigid.kill()
        luigid.wait()
        state.unlink(missing_ok=True)
    code, told = finish(process)
    if code not in (0, -15):  # Luigi's own way with a scheduler that is gone has its traceback
        check_end(code, told.replace("Traceback", ""))
    place.check_versions(stage.good)
    _check_rerun(stage, place, MANY, expected)


def odd_surroundings(stage: Stage, draw: random.Random) -> Iterator[tuple[str, Trial]]:
    """The clock set back or forward, other locales, time zones, paths, and a home that cannot be written."""
    names = ("publish", "promote", "push")
    surroundings = {
        "a year back": {"FAULT_CLOCK": "-31536000"},
        "a year on": {"FAULT_CLOCK": "31536000"},
        "locale C": {"LC_ALL": "C", "PYTHONUTF8": "0"},
        "locale tr_TR": {"LC_ALL": "tr_TR.UTF-8"},
        "time zone": {"TZ": "Pacific/Kiritimati"},
        "no home": {"HOME": "/proc/1/nowhere"},
        "no terminal": {"TERM": "", "COLUMNS": "1"},
    }
    while True:
        for title, env in surroundings.items():
            name = draw.choice(names)
            yield f"surroundings: {title}", partial(_surrounded, stage, name, stage.after(name), env, "")
        for title in ("with spaces", "ünï↔code", "quote's\"", "%d{x}$HOME"):
            name = draw.choice(names)
            yield "surroundings: odd paths", partial(_surrounded, stage, name, stage.after(name), {}, title)


def _surrounded(
    stage: Stage, name: str, expected: dict[str, str], env: dict[str, str], title: str, folder: Path
) -> None:
    place = stage.origin(name).copy(folder.with_name(folder.name + title))
    try:
        code, told = place.run(*COMMANDS[name], env=env)
        check_end(code, told)
        if code:
            raise Lost(f"ends with {code}: {told[-400:]}")
        _check_rerun(stage, place, COMMANDS[name], expected)
    finally:
        if title:
            shutil.rmtree(place.folder, ignore_errors=True)


def contention(stage: Stage, draw: random.Random) -> Iterator[tuple[str, Trial]]:
    """Eight processes on overlapping sets, while others promote, quarantine and retire and a watcher looks."""
    while True:
        yield "8 processes and a watcher", partial(_contend, stage, draw.random())


def _contend(stage: Stage, seed: float, folder: Path) -> None:
    place, draw = stage.full.copy(folder), random.Random(seed)
    processes = []
    for _ in range(4):
        first = draw.randint(4, 9)
        processes.append(place.start("ExportAllVersions", "--versions", f"{first}-{first + draw.randint(0, 3)}"))
    others = [command for command in COMMANDS.values() if command[0] not in ("ExportVersion", "ExportAllVersions")]
    processes += [place.start(*command) for command in draw.sample(others, 4)]
    while any(process.poll() is None for process in processes):
        place.check_versions(stage.good)
        time.sleep(0.01)
    for process in processes:
        check_end(*finish(process))
    place.check_alone()
    place.check_versions(stage.good)
    place.must("ExportAllVersions", "--versions", "4-12", "--workers", "2")
    place.check_versions(stage.good)
    place.check_log()
    if left := [path for path in place.folder.rglob(".aside-*") if "bucket" not in path.parts]:
        raise Lost(f"left behind: {left[0].name}")


PARTS: dict[str, Callable[[Stage, random.Random], Iterator[tuple[str, Trial]]]] = {
    "steps": every_step,
    "processes": killed_processes,
    "sizes": small_files,
    "damage": damaged_files,
    "scheduler": dying_schedulers,
    "surroundings": odd_surroundings,
    "contention": contention,
}
