"""`python -m benchmarks`: measure what docs/performance.md states, print one table, write JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import cluster, runs
from benchmarks.measuring import Result, adopt, in_turn, median_ratio, run, tool


def main() -> int:
    """Run the chosen parts; exits with 1 if a bound was missed (--small has none: its sizes say nothing)."""
    options = _parser().parse_args()
    adopt()
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        results = list(_measure(options, Path(scratch)))
    if options.small:
        for result in results:
            result.at_most = result.at_least = None
    machine = f"{os.cpu_count()} cores, {_processor()}, Python {platform.python_version()}"
    print(f"\n{machine}; medians of {options.repeats} rounds, ratios within a round\n")
    print(_table(results))
    options.json.write_text(
        json.dumps(
            {"machine": machine, "repeats": options.repeats, "results": [r.as_json() for r in results]}, indent=1
        )
    )
    missed = [result.name for result in results if result.verdict.startswith("MISSED")]
    return 1 if missed else 0


def _measure(options: argparse.Namespace, scratch: Path) -> Iterator[Result]:
    small, repeats = options.small, options.repeats
    place = runs.Place(scratch, options.archives, options.dataset)
    archives = scratch / "work" / "archives" / options.dataset
    for letter in options.parts:
        print(f"part {letter} ...", flush=True)
        if letter == "a":
            yield from runs.against_the_tutorial(place, options.tutorial, archives, repeats)
        elif letter == "b":
            sizes = (1, 3) if small else (3, 33, 100)
            yield from runs.one_more_version(place, options.tutorial, archives, repeats, sizes)
        elif letter == "c":
            yield from _softmax(place, repeats)
        elif letter == "d":
            yield from _networks(place, repeats, small=small)
            yield from runs.several_networks(place, max(1, repeats // 2), 10 if small else 500)
        elif letter == "e":
            yield from runs.no_op(place, repeats, (3, 10) if small else (3, 100, 1000))
        elif letter == "f":
            yield from runs.memory(place, 2 if small else 8, 20 if small else 300)
            shortened = ["--training-iteration", "20", "--min-accuracy", "0"] if small else []
            yield runs.memory_of_the_shipped_versions(place, *shortened)
        elif letter == "g":
            yield from _checks(place, repeats)
        elif letter == "h":
            yield from cluster.against_engines(place, repeats, 20 if small else 2000)


def _softmax(place: runs.Place, repeats: int) -> Iterator[Result]:
    seconds = _part(place, "softmax", repeats)
    for name in ("tasks", "numpy", "feed_dict"):
        yield Result(f"1000 softmax iterations: {name}", statistics.median(seconds[name]), "s", samples=seconds[name])
    ratio, ratios = median_ratio(seconds["tasks"], seconds["numpy"])
    yield Result("tasks / numpy", ratio, "", at_most=3, samples=ratios)
    ratio, ratios = median_ratio(seconds["feed_dict"], seconds["tasks"])
    yield Result("feed_dict / tasks", ratio, "", at_least=4, samples=ratios)


def _networks(place: runs.Place, repeats: int, *, small: bool) -> Iterator[Result]:
    fast, good = (20, 30) if small else (800, 1500)
    found: dict[str, list[dict[str, float]]] = {"fast": [], "good": [], "keras": []}

    def measure(name: str, *arguments: str | int) -> float:
        found[name].append(_part(place, *arguments))
        return found[name][-1]["seconds"]

    quick, _, keras = in_turn(
        repeats,
        lambda: measure("fast", "cnn", 2, fast),
        lambda: measure("good", "cnn", 2, good),
        lambda: measure("keras", "keras", 985, 1 if small else 8),
    )
    for name, label, bound in (
        ("fast", f"cnn, {fast} iterations, 2 threads", 0.985),
        ("good", f"cnn, {good} iterations, 2 threads", 0.99),
        ("keras", "Keras convnet until 98.5 %", None),
    ):
        seconds = [entry["seconds"] for entry in found[name]]
        limit = 20 if name == "good" else None
        yield Result(label, statistics.median(seconds), "s", at_most=limit, samples=seconds)
        accuracies = [entry["accuracy"] for entry in found[name]]
        yield Result(f"{label}: test accuracy", min(accuracies), "", at_least=bound, samples=accuracies)
    ratio, ratios = median_ratio(quick, keras)
    yield Result("cnn / Keras, seconds to 98.5 %", ratio, "", at_most=0.25, samples=ratios)


def _checks(place: runs.Place, repeats: int) -> Iterator[Result]:
    for model, seconds in _part(place, "checks", repeats).items():
        name = f"checks before publishing, {model}, processor"
        yield Result(name, statistics.median(seconds), "s", at_most=0.15, samples=seconds)


def _part(place: runs.Place, *arguments: str | int) -> Any:
    arrays = next((place.work / "datasets").iterdir())
    output = place.folder / "part.json"
    run([tool("python"), "-m", "benchmarks.loops", arrays, output, *map(str, arguments)], cwd=place.folder, env=_HERE)
    return json.loads(output.read_text())


_HERE = {"PYTHONPATH": str(Path(__file__).parent.parent), "TF_CPP_MIN_LOG_LEVEL": "3"}


def _table(results: list[Result]) -> str:
    rows = [("what", "median", "bound", "note")]
    rows += [(r.name, f"{r.value:.4g} {r.unit}".strip(), r.verdict, r.note) for r in results]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = (" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(f"| {line} |" for line in lines)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--tutorial", type=Path, help="folder with the tutorial's mnist_saved_model.py")
    parser.add_argument("--archives", type=Path, help="folder with the four MNIST archives (default: download them)")
    parser.add_argument("--dataset", default="mnist", help="digits needs no network (mnist)")
    parser.add_argument("--parts", default="abcdefgh", help="which of a b c d e f g h (all)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds (5)")
    parser.add_argument("--small", action="store_true", help="sizes that only show that everything runs")
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"), help="file to write")
    parser.add_argument("--scratch", type=Path, help="folder for temporary files")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
