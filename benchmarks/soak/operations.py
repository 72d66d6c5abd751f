"""Operations at random in one folder, some of them struck, and what must hold whenever all is quiet."""

from __future__ import annotations

import contextlib
import random
import re
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.faults.place import STRIKES, Lost, Place, check_end, finish, strike
from benchmarks.faults.stage import BUCKET, NOW

MOST = 12  # versions have the numbers 1 to 12
OF_RETIREMENT = {"served", "served/models.config", "served/releases.jsonl"}
MODELS, PULLED = "models/mnist", "pulled"
OF_PULLED = ("--base-path", PULLED, "--config-path", "served/models.config")
ALL = ("--versions", f"1-{MOST}")
OFTEN = {  # how often each is in a round
    "export one": 4,
    "export a set": 3,
    "promote": 4,
    "roll back": 3,
    "remove a label": 1,
    "quarantine": 1,
    "retire": 3,
    "retire what was pulled": 2,
    "push": 3,
    "pull": 3,
    "withdraw": 2,
}
HALF = 0.5  # of all are struck, are scheduled by luigid, have an option
LATEST = 3.0  # seconds after which one is struck at the latest
IMPORT = re.compile(r"^    (import|from) \w", re.MULTILINE)


@dataclass(frozen=True)
class Operation:
    """A task with its options, and what happens to it."""

    name: str
    command: tuple[str, ...]
    who: str | None  # is struck, and when, and which child
    seconds: float
    share: float
    is_scheduled: bool  # by luigid


@dataclass
class Soak:
    """What was done in a folder; `good` are the versions as they must be, `port` is luigid's."""

    place: Place
    good: Mapping[str, str]
    port: int
    tried: Counter[str] = field(default_factory=Counter)
    killed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    lost: list[tuple[str, str]] = field(default_factory=list)
    again: dict[tuple[str, ...], str] = field(default_factory=dict)  # commands that were struck
    cards: list[str] = field(default_factory=list)  # what is left of a round
    names: set[str] = field(default_factory=set)  # of all files after the first clean run
    lock: threading.Lock = field(default_factory=threading.Lock)

    def draw(self, draw: random.Random) -> Operation:
        """The next operation; of the versions that are there now, where it needs one."""
        if not self.cards:
            self.cards = [name for name, times in OFTEN.items() for _ in range(times)]
            draw.shuffle(self.cards)
        name = self.cards.pop()
        first, second, third, share, seconds = (draw.random() for _ in range(5))  # so many, whatever comes of them
        who = draw.choice(STRIKES)
        is_struck, is_scheduled = draw.random() < HALF, draw.random() < HALF
        command = self.command(name, first, second, third)
        return Operation(name, command, who if is_struck else None, LATEST * seconds, share, is_scheduled)

    def command(self, name: str, first: float, second: float, third: float) -> tuple[str, ...]:
        """The task and its options, as three numbers from 0 to 1 say."""
        here, stored = self._one(MODELS, first), self._one("bucket", first)
        label, start = ("stable", "canary")[int(2 * second)], 1 + int(MOST * first)
        last = min(MOST, start + int(4 * third))
        return {
            "export one": ("ExportVersion", "--version", str(start)),
            "export a set": ("ExportAllVersions", "--versions", f"{start}-{last}", "--workers", "2"),
            "promote": ("PromoteVersion", "--label", label, "--version", here, *NOW),
            "roll back": ("RollBack", "--label", label, *NOW),
            "remove a label": ("RemoveLabel", "--label", label),
            "quarantine": ("QuarantineVersion", "--version", here, *(["--force"] if third < HALF else [])),
            "retire": ("RetireVersions", "--keep", str(1 + int(3 * second)), "--apply"),
            "retire what was pulled": ("RetireVersions", "--keep", str(1 + int(3 * second)), "--apply", *OF_PULLED),
            "push": ("PushVersions", *BUCKET, *(["--versions", here] if third < HALF else [])),
            "pull": ("PullVersions", *BUCKET, "--versions", stored, "--base-path", PULLED),
            "withdraw": ("WithdrawVersions", *BUCKET, "--versions", stored),
        }[name]

    def _one(self, tree: str, share: float) -> str:
        """The number of one of the versions in a tree."""
        there = sorted(int(path.name) for path in (self.place.folder / tree).iterdir() if path.name.isdecimal())
        return str(there[int(share * len(there))] if there else 1)

    def do(self, operation: Operation) -> None:
        """Run one, strike it if that was drawn, and look at how it ended and at every version."""
        port = ("--scheduler-host", "127.0.0.1", "--scheduler-port", str(self.port))
        process = self.place.start(
            *operation.command, *(port if operation.is_scheduled else ()), local=not operation.is_scheduled
        )
        is_struck = False
        if operation.who:
            try:
                process.wait(operation.seconds)
            except subprocess.TimeoutExpired:
                is_struck = True
                strike(process, operation.who, operation.share)
        lost = ""
        try:
            code, told = finish(process)
            if is_struck and operation.who:
                check_struck(code, told, operation.who)
            else:
                check_end(code, told)
            self.place.check_versions(self.good)
        except Lost as error:
            code, lost = 0, str(error)
        with self.lock:
            self.tried[operation.name] += 1
            self.killed[operation.name] += is_struck
            self.refused[operation.name] += code != 0 and not is_struck
            if is_struck:
                self.again[operation.command] = operation.name
        if lost:
            self.lose(operation.name, f"{' '.join(operation.command)} ({operation.who}): {lost}")

    def lose(self, name: str, what: str) -> None:
        """Something did not hold."""
        with self.lock:
            self.lost.append((name, what))

    def settle(self) -> None:
        """While nothing else runs: do again what was struck, make all that is missing, and look at everything."""
        try:
            self._settle()
        except Lost as error:
            self.lose("quiet", str(error))

    def _settle(self) -> None:
        place = self.place
        place.check_alone()
        place.check_versions(self.good)
        place.check_log()
        for command in self.again:
            check_end(*place.run(*command))
        self.again.clear()
        for denied in (place.folder / MODELS).glob("*.denied"):  # as QuarantineVersion says how it is undone
            with contextlib.suppress(OSError):  # the version was made again before it was taken back
                denied.rename(denied.with_suffix(""))
        place.must("ExportAllVersions", *ALL, "--workers", "2")
        place.must("PushVersions", *ALL, *BUCKET)
        place.must("PullVersions", *ALL, *BUCKET, "--base-path", PULLED)
        place.must("VerifyVersions")
        place.must("VerifyVersions", "--base-path", PULLED)
        place.must("VerifyVersions", *BUCKET)
        place.check_alone()
        place.check_versions(self.good)
        place.check_log()
        self._check_names()
        place.must("RetireVersions", "--keep", "2", "--apply")
        place.must("RetireVersions", "--keep", "2", "--apply", *OF_PULLED)

    def _check_names(self) -> None:
        """There is nothing but what was there after the first clean run, and what a first retirement makes."""
        found = {str(path.relative_to(self.place.folder)) for path in self.place.folder.rglob("*")} - OF_RETIREMENT
        if left := sorted(name for name in found if Path(name).name.startswith(".aside-")):
            raise Lost(f"left behind: {', '.join(left[:3])}")
        self.names = self.names or found
        if more := sorted(found - self.names):
            raise Lost(f"{len(more)} files or folders more than before: {', '.join(more[:3])}")


def check_struck(code: int, told: str, who: str) -> None:
    """As `check_end`; one that was to end while it still imported may end as Python does by itself."""
    is_early = code in (-signal.SIGINT, -signal.SIGTERM) or ("KeyboardInterrupt" in told and IMPORT.search(told))
    if who not in ("Ctrl-C", "SIGTERM") or not is_early:
        check_end(code, told, killed=True)
