"""Whole runs of the command line, each in folders of its own."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.measuring import Result, Usage, descendants, in_turn, median_ratio, proportional_set_size, run, tool
from tasks.versions.manifest import MANIFEST, read_manifest, write_manifest

TRIVIAL = """
import luigi
class One(luigi.Task):
    number = luigi.IntParameter()
    def output(self):
        return luigi.LocalTarget(f"trivial-{self.number}")
    def run(self):
        open(self.output().path, "w").close()
class All(luigi.WrapperTask):
    def requires(self):
        return [One(number=number) for number in range(3)]
"""

NO_OP_VERSIONS, NO_OP_SECONDS = 1000, 3.0
SHIPPED = Path(__file__).parent.parent / "luigi.cfg"


class Place:
    """A working directory with the archives in it, and recipes that differ as each measurement needs."""

    def __init__(self, folder: Path, archives: Path | None, dataset: str) -> None:
        self.folder = folder
        self.dataset = dataset
        self.work = folder / "work"
        folder.mkdir(parents=True, exist_ok=True)
        arguments: list[str | Path] = ["PrepareDataset", "--dataset", dataset, "--work-dir", self.work]
        if archives is not None:
            arguments += ["--DownloadDataset-mirrors", archives]
        self.luigi(*arguments)

    def luigi(self, *arguments: str | Path) -> Usage:
        """`luigi --module tasks ... --local-scheduler`, measured."""
        return run([tool("luigi"), "--module", "tasks", *arguments, "--local-scheduler"], cwd=self.folder)

    def export(self, versions: str, *arguments: str | Path, prepared: bool = True) -> Usage:
        """Export versions anew: nothing but the archives (and, if `prepared`, the arrays) is there before."""
        self.forget(*([] if prepared else ["work/datasets"]))
        return self.luigi("ExportAllVersions", "--versions", versions, "--dataset", self.dataset, *arguments)

    def forget(self, *more: str) -> None:
        """Remove all versions and trainings."""
        for leftover in ["models", "work/training", *more]:
            shutil.rmtree(self.folder / leftover, ignore_errors=True)

    def configure(self, recipes: dict[int, dict[str, object]]) -> None:
        """Write luigi.cfg."""
        lines = []
        for version, recipe in recipes.items():
            lines.append(f"[recipe.{version}]")
            lines += [f"{key} = {value}" for key, value in recipe.items()]
        (self.folder / "luigi.cfg").write_text("\n".join(lines) + "\n")


def against_the_tutorial(place: Place, tutorial: Path | None, archives: Path, repeats: int) -> list[Result]:
    """Three versions of 1000, 2000 and 3000 iterations, and the tutorial's script run three times."""
    place.configure({version: {"training_iteration": 1000 * version} for version in (1, 2, 3)})
    export = place.folder / "tutorial"

    def ours() -> float:
        return place.export("1-3", prepared=False).seconds

    def theirs() -> float:
        shutil.rmtree(export, ignore_errors=True)
        return sum(_tutorial(tutorial, archives, export, version) for version in (1, 2, 3)) if tutorial else 0.0

    mine, other = in_turn(repeats, ours, theirs)
    results = [Result("three softmax versions", statistics.median(mine), "s", samples=mine)]
    if tutorial:
        ratio, ratios = median_ratio(mine, other)
        results += [
            Result("the tutorial's script, three times", statistics.median(other), "s", samples=other),
            Result("ratio", ratio, "", at_most=0.148, samples=ratios, note="aim: 0.13"),
        ]
    return results


def one_more_version(
    place: Place, tutorial: Path | None, archives: Path, repeats: int, sizes: tuple[int, ...]
) -> list[Result]:
    """What a further version costs, with one worker and with two: other seeds, 1000 iterations each."""
    place.configure({version: {"seed": version} for version in range(1, max(sizes) + 1)})
    few, more = sizes[0], sizes[1]
    results = []
    for workers, bound in ((1, 0.03), (2, 0.022)):

        def export(count: int, workers: int = workers) -> float:
            return place.export(f"1-{count}", "--workers", str(workers)).seconds

        small, large, tutorials = in_turn(
            repeats,
            lambda: export(few),
            lambda: export(more),
            lambda: _tutorial(tutorial, archives, place.folder / "tutorial", 1) if tutorial else 0.0,
        )
        each = [(b - a) / (more - few) for a, b in zip(small, large, strict=True)]
        name = f"one more version, {workers} worker{'s' if workers > 1 else ''}"
        results.append(Result(name, statistics.median(each), "s", samples=each, note=f"from {few} to {more}"))
        if tutorial:
            ratio, ratios = median_ratio(each, tutorials)
            results.append(Result(f"{name}, of one tutorial run", ratio, "", at_most=bound, samples=ratios))
    for count in sizes[2:]:
        results += _workers(place, f"{count} softmax versions", max(1, repeats // 2), 0.7, f"1-{count}")
    return results


def several_networks(place: Place, repeats: int, iterations: int) -> list[Result]:
    """Four versions of the CNN with one worker and with two."""
    place.configure({version: {"seed": version, "model": "cnn"} for version in range(1, 5)})
    shortened = ("--training-iteration", str(iterations))
    return _workers(place, f"4 cnn versions, {iterations} iterations", repeats, 0.6, "1-4", *shortened)


def _workers(place: Place, name: str, repeats: int, bound: float, *arguments: str) -> list[Result]:
    """The same versions with one worker and with two: time, and how much more processor time two take."""
    usages: dict[str, list[Usage]] = {"1": [], "2": []}

    def export(workers: str) -> float:
        usages[workers].append(place.export(*arguments, "--workers", workers))
        return usages[workers][-1].seconds

    one, two = in_turn(repeats, lambda: export("1"), lambda: export("2"))
    ratio, ratios = median_ratio(two, one)
    used, useds = median_ratio(*([usage.processor_seconds for usage in usages[workers]] for workers in "21"))
    return [
        Result(f"{name}, 1 worker", statistics.median(one), "s", samples=one),
        Result(f"{name}, 2 workers", statistics.median(two), "s", samples=two),
        Result(f"{name}, 2 workers / 1", ratio, "", at_most=bound, samples=ratios),
        Result(f"{name}, processor time, 2 workers / 1", used, "", at_most=1.15, samples=useds),
    ]


def no_op(place: Place, repeats: int, sizes: tuple[int, ...]) -> list[Result]:
    """A rerun that finds everything there, against a no-op Luigi run of three trivial tasks."""
    place.configure({})
    place.export("1", "--training-iteration", "10")
    tree = place.folder / "models" / "mnist"
    for version in range(2, max(sizes) + 1):
        _imitate(tree / "1", tree / str(version), version)
    (place.folder / "trivial.py").write_text(TRIVIAL)
    trivial: list[str | Path] = [tool("luigi"), "--module", "trivial", "All", "--local-scheduler"]
    run(trivial, cwd=place.folder, env={"PYTHONPATH": "."})
    results = []
    for count in sizes:

        def ours(count: int = count) -> float:
            return place.luigi(
                *["ExportAllVersions", "--versions", f"1-{count}", "--dataset", place.dataset],
                *["--training-iteration", "10"],
            ).seconds

        mine, other = in_turn(repeats, ours, lambda: run(trivial, cwd=place.folder, env={"PYTHONPATH": "."}).seconds)
        bound = NO_OP_SECONDS if count == NO_OP_VERSIONS else None
        results.append(
            Result(f"no-op run, {count} versions", statistics.median(mine), "s", at_most=bound, samples=mine)
        )
        if count == sizes[0]:
            ratio, ratios = median_ratio(mine, other)
            results.append(Result("of a no-op run of three trivial tasks", ratio, "", at_most=1.2, samples=ratios))
    return results


def memory(place: Place, trainings: int, iterations: int) -> list[Result]:
    """Peak memory of one softmax version, and of parallel trainings by proportional set size."""
    place.configure({version: {"seed": version} for version in range(1, trainings + 1)})
    peak = place.export("1").peak_bytes / 1e6
    results = [Result("peak memory, one softmax version", peak, "MB", at_most=700)]
    shutil.rmtree(place.folder / "models", ignore_errors=True)
    shutil.rmtree(place.folder / "work" / "training", ignore_errors=True)
    arguments = ["--versions", f"1-{trainings}", "--dataset", place.dataset, "--model", "cnn"]
    arguments += ["--training-iteration", str(iterations), "--workers", str(trainings), "--local-scheduler"]
    process = subprocess.Popen(
        [str(tool("luigi")), "--module", "tasks", "ExportAllVersions", *arguments],
        cwd=place.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    most, running = 0.0, 0
    while process.poll() is None:
        sizes = [proportional_set_size(pid) for pid in descendants(process.pid)]
        if sum(sizes) > most:
            most, running = sum(sizes), len(sizes) - 1
        time.sleep(0.1)
    name = f"proportional set size, {trainings} parallel trainings"
    results.append(Result(name, most / 1e6, "MB", at_most=trainings * 400, note=f"{running} children at the peak"))
    return results


def memory_of_the_shipped_versions(place: Place, *arguments: str) -> Result:
    """Peak memory of one process that decodes, trains and exports versions 1, 2 and 3 of the shipped luigi.cfg."""
    shutil.copy(SHIPPED, place.folder)
    peak = place.export("1-3", *arguments, prepared=False).peak_bytes / 1e6
    return Result("peak memory, the three shipped versions", peak, "MB", at_most=900)


def _tutorial(script_folder: Path | None, archives: Path, export: Path, version: int) -> float:
    """One run of the tutorial's script; returns its seconds."""
    if script_folder is None:
        return 0.0
    shutil.rmtree(export / str(version), ignore_errors=True)
    export.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = [
        tool("python"),
        script_folder / "mnist_saved_model.py",
        f"--training_iteration={1000 * version}",
    ]
    command += [f"--model_version={version}", f"--work_dir={archives}", export]
    return run(command, cwd=export, env={"TF_CPP_MIN_LOG_LEVEL": "3"}).seconds


def _imitate(source: Path, target: Path, version: int) -> None:
    """Another version that differs in its number alone: a no-op run reads the manifest and the sizes of the files."""
    shutil.copytree(source, target, copy_function=os.link)
    manifest = read_manifest(source)
    if manifest is None:
        raise RuntimeError(f"{source} has no manifest")
    (target / MANIFEST).unlink()  # a link to the other one
    write_manifest(target, replace(manifest, model_version=version))
