"""`python -m benchmarks.soak`: random operations, some of them struck, while a watcher loads every version.

Prints what was tried and lost, and whether the memory and the open files of what ran for the whole time are level.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.faults.place import ROOT, SECONDS, Lost
from benchmarks.faults.stage import Stage
from benchmarks.measuring import descendants, tool
from benchmarks.soak.operations import MODELS, PULLED, Soak
from benchmarks.soak.plot import draw
from benchmarks.soak.samples import MIB, Level, Sample, Sampler, by_name, level, write_csv

BETWEEN_QUIET = 20  # operations
SCHEDULER = "[scheduler]\nstable_done_cooldown_secs = 0\n"  # what was done is done again within seconds here
LEAST_SAMPLES = 60


def main() -> int:
    """Run for so many minutes; ends with 1 if anything was lost, or if anything is not level."""
    options = _parser().parse_args()
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        soak, seen, samples = _run(Path(scratch), options.minutes, options.seed, options.at_once)
    levels = {name: level(found) for name, found in by_name(samples).items()}
    print(
        f"\n{os.cpu_count()} cores, Python {platform.python_version()}, seed {options.seed}, {options.minutes:g} min\n"
    )
    print(_operations(soak))
    for name, counts in seen.items():
        print(f"\n{name}: {', '.join(f'{count:,} {what}' for what, count in counts.items())}")
    print(f"\n{_levels(levels)}")
    for name, what in soak.lost:
        print(f"\nLOST, {name}: {what}")
    if options.csv:
        write_csv(samples, options.csv)
    if options.plot:
        draw(samples, options.plot)
    return 1 if soak.lost or not all(one.is_level for one in levels.values()) else 0


def _run(
    scratch: Path, minutes: float, seed: int, at_once: int
) -> tuple[Soak, dict[str, dict[str, int]], list[Sample]]:
    stage = Stage.build(scratch)
    place, own = stage.full.copy(scratch / "soak"), stage.empty.copy(scratch / "resident")
    (scratch / "luigid").mkdir()
    (scratch / "luigid" / "luigi.cfg").write_text(SCHEDULER)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    module = [sys.executable, "-m"]
    commands = {
        "luigid": ([tool("luigid"), "--address", "127.0.0.1", "--port", port], scratch / "luigid"),
        "watcher": (
            [
                *module,
                "benchmarks.soak.watcher",
                scratch / "watcher.json",
                place.folder / MODELS,
                place.folder / PULLED,
                own.folder / MODELS,
            ],
            scratch,
        ),
        "resident": ([*module, "benchmarks.soak.resident", scratch / "resident.json", port], own.folder),
    }
    processes: dict[str, subprocess.Popen[str]] = {}
    soak = Soak(place, stage.good, port)
    try:
        for name, (words, folder) in commands.items():
            processes[name] = _start(words, folder, scratch / f"{name}.log")
            while name == "luigid" and socket.socket().connect_ex(("127.0.0.1", port)):
                time.sleep(0.1)
        sampler = Sampler(lambda: _find(processes), min(5, 60 * minutes / LEAST_SAMPLES))
        sampler.start()
        _operate(soak, random.Random(seed), time.monotonic() + 60 * minutes, at_once)
        samples = sampler.end()
        seen = {name: _end(soak, scratch / name, processes[name]) for name in ("watcher", "resident")}
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    try:
        own.check_log()
        own.check_versions(stage.good)
        own.check_alone()
    except Lost as error:
        soak.lose("resident", str(error))
    return soak, seen, samples


def _start(words: Sequence[object], folder: Path, path: Path) -> subprocess.Popen[str]:
    with path.open("wb") as log:
        return subprocess.Popen(
            [str(word) for word in words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "MARK": str(folder)},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            text=True,
        )


def _find(processes: Mapping[str, subprocess.Popen[str]]) -> dict[str, list[int]]:
    """The processes that are looked at; the resident's nursery leads a session, and its engines are below that."""
    found = {name: [process.pid] for name, process in processes.items()}
    for pid in descendants(processes["resident"].pid)[1:]:
        try:
            if os.getsid(pid) == pid:
                found |= {"its nursery": [pid], "its engines": descendants(pid)[1:]}
        except ProcessLookupError:
            continue
    return found


def _operate(soak: Soak, drawn: random.Random, deadline: float, at_once: int) -> None:
    """Operations until then, in rounds; all is quiet after each."""
    while time.monotonic() < deadline:
        with ThreadPoolExecutor(at_once) as pool:
            for done in [pool.submit(_next, soak, drawn, deadline) for _ in range(BETWEEN_QUIET)]:
                done.result()
        soak.settle()
        if sys.stderr.isatty():
            print(f"\r{soak.tried.total()} tried, {len(soak.lost)} lost", end="", file=sys.stderr, flush=True)


def _next(soak: Soak, drawn: random.Random, deadline: float) -> None:
    if time.monotonic() < deadline:
        with soak.lock:
            operation = soak.draw(drawn)
        soak.do(operation)


def _end(soak: Soak, said: Path, process: subprocess.Popen[str]) -> dict[str, int]:
    """Let a process end by itself; gives what it has seen, and adds what it has lost."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=SECONDS)
    if process.returncode != 0:
        soak.lose(said.name, f"ends with {process.returncode}: {said.with_suffix('.log').read_text()[-600:]}")
        return {}
    found = json.loads(said.with_suffix(".json").read_text())
    for what in found["lost"]:
        soak.lose(said.name, what)
    return dict(found["seen"])


def _operations(soak: Soak) -> str:
    lost = [name for name, _ in soak.lost]
    rows: list[tuple[str, ...]] = [("operation", "tried", "struck", "refused", "lost"), ("---",) * 5]
    for name in sorted({*soak.tried, *lost}):
        counts = soak.tried[name], soak.killed[name], soak.refused[name], lost.count(name)
        rows.append((name, *map(str, counts)))
    totals = soak.tried.total(), soak.killed.total(), soak.refused.total(), len(lost)
    return _table([*rows, ("all", *map(str, totals))])


def _levels(levels: Mapping[str, Level]) -> str:
    rows: list[tuple[str, ...]] = [
        ("process", "memory, second quarter", "last", "open files", "last", "level"),
        ("---",) * 6,
    ]
    for name, one in levels.items():
        memory = [f"{value / MIB:.1f} MiB" for value in one.memory]
        rows.append((name, *memory, *map(str, one.files), "yes" if one.is_level else "NO"))
    return _table(rows)


def _table(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="after which no operation begins (60)")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (0)")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1, help="operations (one for each core)")
    parser.add_argument("--csv", type=Path, help="file for all samples of memory and open files")
    parser.add_argument("--plot", type=Path, help="file for a picture of them (SVG; needs the extra report)")
    parser.add_argument("--scratch", type=Path, help="folder for temporary files")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
