"""The faults that are tried, each as a generator of trials: functions that raise Lost if something was lost."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.faults.place import CONFIG, Lost, Place, check_end, differences, finish
from benchmarks.measuring import descendants, tool

Trial = Callable[[Path], None]  # in a folder of its own, which need not exist

NOW = ("--wait-seconds", "0.01")
BUCKET = ("--bucket", "bucket")
# Each changes something: name -> task and options. `first` begins with nothing but luigi.cfg.
COMMANDS = {
    "publish": ("ExportVersion", "--version", "4"),
    "first": ("ExportVersion", "--version", "1"),
    "many": ("ExportAllVersions", "--versions", "4-7", "--workers", "2"),
    "promote": ("PromoteVersion", "--label", "stable", "--version", "3", *NOW),
    "roll back": ("RollBack", "--label", "stable", *NOW),
    "remove a label": ("RemoveLabel", "--label", "canary"),
    "quarantine": ("QuarantineVersion", "--version", "3", "--why", "trial"),
    "retire": ("RetireVersions", "--keep", "1", "--apply"),
    "push": ("PushVersions", "--versions", "2", *BUCKET),
    "pull": ("PullVersions", "--versions", "1", "--base-path", "pulled", *BUCKET),
    "withdraw": ("WithdrawVersions", "--versions", "1", *BUCKET),
}
MANY = COMMANDS["many"]
ERRORS = ("kill", "EIO", "ENOSPC")


@dataclass
class Stage:
    """What trials begin with (five versions and labels, or nothing), and what undisturbed commands make of it."""

    scratch: Path
    full: Place
    empty: Place
    good: dict[str, str]  # versions 1 to 12 as they must be
    known: dict[str, tuple[dict[str, str], list[str]]] = field(default_factory=dict)

    @classmethod
    def build(cls, scratch: Path) -> Stage:
        """Make all of it in a folder."""
        places = [Place(scratch / name) for name in ("full", "empty", "all")]
        for place in places:
            place.folder.mkdir()
            (place.folder / "luigi.cfg").write_text(CONFIG)
        full, empty, whole = places
        full.must("ExportAllVersions", "--versions", "1-3,8,9")  # 3 is old enough to be retired
        full.must("TrainModel", "--seed", "4")
        for version in ("1", "2"):
            full.must("PromoteVersion", "--label", "stable", "--version", version, *NOW)
        full.must("PromoteVersion", "--label", "canary", "--version", "1", *NOW)
        for folder in ("bucket", "pulled"):
            (full.folder / folder).mkdir()
        full.must("PushVersions", "--versions", "1", *BUCKET)
        whole.must("ExportAllVersions", "--versions", "1-12", "--workers", "2")
        whole.must("VerifyVersions")
        return cls(scratch, full, empty, whole.content())

    def origin(self, name: str) -> Place:
        """What that command begins with."""
        return self.empty if name == "first" else self.full

    def undisturbed(self, name: str) -> tuple[dict[str, str], list[str]]:
        """What is there after that command, and the steps that it took."""
        if name not in self.known:
            place = self.origin(name).copy(self.scratch / "undisturbed")
            steps = self.scratch / "steps"
            code, told = place.run(*COMMANDS[name], env={"FAULT": "count:0", "FAULT_STEPS": str(steps)})
            if code:
                raise Lost(f"{name} ends with {code} undisturbed: {told[-600:]}")
            told = steps.read_text() if steps.exists() else ""  # with two workers, all is done by others
            self.known[name] = place.content(), told.splitlines()
            shutil.rmtree(place.folder)
            steps.unlink(missing_ok=True)
        return self.known[name]

    def after(self, name: str) -> dict[str, str]:
        """What is there after that command."""
        return self.undisturbed(name)[0]


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
        for who in ("Luigi", "a child", "all", "Ctrl-C", "SIGTERM"):
            yield (
                f"{who} at a random moment",
                partial(_kill, stage, expected, who, draw.uniform(0.3, 4.0), draw.random()),
            )


def _kill(stage: Stage, expected: dict[str, str], who: str, seconds: float, share: float, folder: Path) -> None:
    place = stage.full.copy(folder)
    process = place.start(*MANY)
    time.sleep(seconds)
    children = descendants(process.pid)[1:]
    with contextlib.suppress(ProcessLookupError):
        if who == "a child" and children:
            os.kill(children[int(share * len(children))], signal.SIGKILL)
        elif who in ("Ctrl-C", "SIGTERM"):
            os.killpg(process.pid, signal.SIGINT if who == "Ctrl-C" else signal.SIGTERM)
        elif who == "all":
            for pid in [process.pid, *children]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        else:
            process.kill()
    code, told = finish(process)
    check_end(code, told, killed=True)
    place.check_versions(stage.good)
    _check_rerun(stage, place, MANY, expected)


def small_files(stage: Stage, draw: random.Random) -> Iterator[tuple[str, Trial]]:
    """No file may grow beyond a random size: writes are cut short, in every process."""
    while True:
        name, limit = draw.choice(list(COMMANDS)), draw.choice([1, 2, 4, 16, 40, 64]) << 10
        yield "no file beyond a size", partial(_limited, stage, name, limit)


def _limited(stage: Stage, name: str, limit: int, folder: Path) -> None:
    place = stage.origin(name).copy(folder)
    code, told = place.run(*COMMANDS[name], limit=limit)
    check_end(code, told)
    place.check_versions(stage.good)
    _check_rerun(stage, place, COMMANDS[name], stage.after(name))


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
    """The clock set back or forward, other locales, time zones, umasks, paths, and a home that cannot be written."""
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
            yield f"surroundings: {title}", partial(_surrounded, stage, draw.choice(names), env, "")
        for title in ("with spaces", "ünï↔code", "quote's\"", "%d{x}$HOME"):
            yield "surroundings: odd paths", partial(_surrounded, stage, draw.choice(names), {}, title)


def _surrounded(stage: Stage, name: str, env: dict[str, str], title: str, folder: Path) -> None:
    place = stage.origin(name).copy(folder.with_name(folder.name + title))
    try:
        code, told = place.run(*COMMANDS[name], env=env)
        check_end(code, told)
        if code:
            raise Lost(f"ends with {code}: {told[-400:]}")
        _check_rerun(stage, place, COMMANDS[name], stage.after(name))
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
