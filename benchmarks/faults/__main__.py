"""`python -m benchmarks.faults`: try faults on real runs, print what was tried and what was lost."""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from benchmarks.faults.place import Lost
from benchmarks.faults.stage import Stage
from benchmarks.faults.trials import PARTS, Trial


def main() -> int:
    """Run what was asked for; ends with 1 if anything was lost."""
    options = _parser().parse_args()
    began, deadline = time.monotonic(), time.monotonic() + 60 * options.minutes
    tried, lost = Counter[str](), list[tuple[str, str]]()
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        stage = Stage.build(Path(scratch))
        with ThreadPoolExecutor(options.at_once) as pool:
            running: dict[Future[None], str] = {}
            trials = _mixed(stage, options.only or list(PARTS), random.Random(options.seed), options.every)
            for number, (name, trial) in enumerate(trials):
                if time.monotonic() > deadline or tried.total() + len(running) >= options.most:
                    break
                running[pool.submit(_try, trial, Path(scratch, f"trial-{number}"))] = name
                if len(running) >= options.at_once:
                    _collect(running, tried, lost, FIRST_COMPLETED)
            _collect(running, tried, lost, "ALL_COMPLETED")
    print(
        f"\n{os.cpu_count()} cores, Python {platform.python_version()}, seed {options.seed}, "
        f"{(time.monotonic() - began) / 60:.0f} min\n"
    )
    print(_table(tried, Counter(name for name, _ in lost)))
    for name, what in lost:
        print(f"\nLOST, {name}: {what}")
    return 1 if lost else 0


def _try(trial: Trial, folder: Path) -> None:
    try:
        trial(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _collect(running: dict[Future[None], str], tried: Counter[str], lost: list[tuple[str, str]], until: str) -> None:
    for future in wait(running, return_when=until).done:
        name = running.pop(future)
        tried[name] += 1
        error = future.exception()
        if isinstance(error, Lost):
            lost.append((name, str(error)))
            print(f"LOST, {name}: {error}", file=sys.stderr, flush=True)
        elif error is not None:
            raise error
    if sys.stderr.isatty():
        print(f"\r{tried.total()} tried, {len(lost)} lost", end="", file=sys.stderr, flush=True)


def _mixed(stage: Stage, parts: list[str], draw: random.Random, every: int) -> Iterator[tuple[str, Trial]]:
    """The trials of all parts in turn, of `steps` each `every`-th; those that end come to their end."""
    sources = [itertools.islice(PARTS[part](stage, draw), 0, None, every if part == "steps" else 1) for part in parts]
    while sources:
        for source in list(sources):
            found = next(source, None)
            if found is None:
                sources.remove(source)
            else:
                yield found
        if "steps" in parts and len(sources) < len(parts):
            return


def _table(tried: Counter[str], lost: Counter[str]) -> str:
    rows = [("fault", "tried", "lost"), ("---", "---", "---")]
    rows += [(name, str(count), str(lost[name])) for name, count in sorted(tried.items())]
    rows.append(("all", str(tried.total()), str(lost.total())))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="after which no new trial begins (60)")
    parser.add_argument("--most", type=int, default=10**9, help="trials (no bound)")
    parser.add_argument("--every", type=int, default=1, help="of the steps of a command, each so many-th (1: all)")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (0)")
    parser.add_argument("--only", nargs="*", choices=list(PARTS), help="which parts (all)")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1, help="trials (one for each core)")
    parser.add_argument("--scratch", type=Path, help="folder for temporary files")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
