"""Engines here, against a Dask cluster of as many workers; for that, `python -m benchmarks.cluster COMMAND` is run.

It starts a cluster on this machine, says in luigi.cfg of the working directory where it is, and runs the command; what
it writes to usage.json is without the start of the cluster, but with TensorFlow's import in each of its processes.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from pathlib import Path

from benchmarks.measuring import Result, Usage, descendants, in_turn, median_ratio, run, tool
from benchmarks.runs import Place
from tasks.storage.checksums import list_files

WORKERS = 2
SOFTMAX, CNN = 16, 4
ROOT = Path(__file__).parent.parent


def against_engines(place: Place, repeats: int, iterations: int) -> list[Result]:
    """16 softmax versions of 1000 iterations and 4 of the CNN as shipped, but for its iterations; the same bytes."""
    seeds = range(1, SOFTMAX + CNN + 1)
    cnn = {"model": "cnn", "training_iteration": iterations, "batch_size": 128, "schedule": "linear"}
    recipes: dict[int, dict[str, object]] = {seed: {"seed": seed, **(cnn if seed > SOFTMAX else {})} for seed in seeds}
    versions = ["--versions", f"1-{SOFTMAX + CNN}", "--workers", str(WORKERS)]
    arguments = ["ExportAllVersions", *versions, "--dataset", place.dataset, "--local-scheduler"]
    luigi: list[str | Path] = [tool("luigi"), "--module", "tasks", *arguments]
    usages: dict[str, list[Usage]] = {"engines": [], "Dask workers": []}
    trees = {}

    def export(where: str) -> float:
        place.configure(recipes)
        place.forget()
        if where == "engines":
            usage = run(luigi, cwd=place.folder)
        else:
            run([tool("python"), "-m", "benchmarks.cluster", *luigi], cwd=place.folder, env={"PYTHONPATH": str(ROOT)})
            usage = Usage(**json.loads((place.folder / "usage.json").read_text()))
        usages[where].append(usage)
        trees[where] = list_files(place.folder / "models")
        return usage.seconds

    seconds = in_turn(repeats, *(lambda where=where: export(where) for where in usages))
    if trees["engines"] != trees["Dask workers"]:
        raise RuntimeError("a Dask cluster gives other bytes than engines")
    used = [[usage.processor_seconds for usage in usages[where]] for where in usages]
    name = f"{SOFTMAX} softmax and {CNN} cnn versions"
    results = []
    for where, took, processor in zip(usages, seconds, used, strict=True):
        results.append(Result(f"{name}, {WORKERS} {where}", statistics.median(took), "s", samples=took))
        results.append(Result("of the processor", statistics.median(processor), "s", samples=processor))
    for what, (engines, dask) in {"": seconds, ", processor time": used}.items():
        ratio, ratios = median_ratio(dask, engines)
        results.append(Result(f"Dask workers / engines{what}", ratio, "", at_most=1.15, samples=ratios))
    return results


def main() -> None:
    """Run a command beside a cluster, and write what both took."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=WORKERS, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:
        with Path("luigi.cfg").open("a") as stream:
            stream.write(f"[execution]\nengine = dask\ndask_scheduler = {cluster.scheduler_address}\n")
        workers = descendants(os.getpid())
        before, began = sum(map(_processor_seconds, workers)), time.monotonic()
        usage = run(sys.argv[1:], cwd=Path.cwd(), alone=False)
        seconds = time.monotonic() - began
        used = usage.processor_seconds + sum(map(_processor_seconds, workers)) - before
    Path("usage.json").write_text(
        json.dumps({"seconds": seconds, "processor_seconds": used, "peak_bytes": usage.peak_bytes})
    )


def _processor_seconds(pid: int) -> float:
    """What a process has used so far, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
