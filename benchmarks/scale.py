"""`python -m benchmarks.scale --versions 1000`: what many versions cost, with stubs for training and export.

Each version has a recipe of its own (another seed), so it has a training of its own too. One row for each step: time,
processor time of all processes, and the memory of the largest. Of several numbers of versions, the last may take at
most 1.2 times as much processor time a version as the first, in each step; the exit code is 1 if one takes more.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.measuring import Usage, adopt, run, tool
from tasks.versions.manifest import MANIFEST

ROOT = Path(__file__).parent.parent
STUB, REAL = "benchmarks.scale_stub", "tasks"
MOST_GROWTH = 1.2
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": "us-east-1"}
SETTINGS = "[recipe]\ndataset = digits\ntraining_iteration = 20\n[core]\nlog_level = WARNING\n"


def main() -> int:
    """Measure and print; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--versions", type=int, nargs="+", default=[1000], help="how many; several numbers one by one")
    parser.add_argument("--workers", type=int, default=1, help="Luigi's workers (1)")
    parser.add_argument("--without", nargs="*", default=[], help="steps to leave out, such as verify")
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument("--scratch", type=Path, help="folder for temporary files")
    options = parser.parse_args()
    adopt()
    rows: list[dict[str, Any]] = []
    print("| versions | step | time | processor time | largest process | requests |")
    print("| --- | --- | --- | --- | --- | --- |")
    for versions in options.versions:
        with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
            for step, usage, requests in measure(Path(folder), versions, options.workers, options.without):
                rows.append({"versions": versions, "step": step, **vars(usage), "requests": requests})
                took = f"{usage.seconds:.1f} s | {usage.processor_seconds:.1f} s | {usage.peak_bytes / 1e6:.0f} MB"
                print(f"| {versions:,} | {step} | {took} | {f'{requests:,}' if requests else ''} |", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    first, last = options.versions[0], options.versions[-1]
    grown = {}
    for row in rows:
        each = row["processor_seconds"] / row["versions"]
        if row["versions"] == first:
            grown[row["step"]] = 1 / max(each, 1e-6)
        elif row["versions"] == last:
            grown[row["step"]] *= each
    if first == last:
        return 0
    told = ", ".join(f"{growth:.2f} ({step})" for step, growth in grown.items())
    print(f"\nprocessor time of one of {last:,} versions, beside one of {first:,}: {told}")
    return 1 if max(grown.values()) > MOST_GROWTH else 0


def measure(folder: Path, versions: int, workers: int, without: list[str]) -> Iterator[tuple[str, Usage, int]]:
    """The steps, in the order in which versions go through them: what each took, and its requests to a bucket."""
    template = make_template(folder)
    recipes = "".join(f"[recipe.{version}]\nseed = {version}\n" for version in range(1, versions + 1))
    (folder / "luigi.cfg").write_text(SETTINGS + recipes)

    def luigi(module: str, *arguments: str, alone: bool = True) -> Usage:
        command: list[str | Path] = [tool("luigi"), "--module", module, *arguments, "--local-scheduler"]
        env = {"PYTHONPATH": str(ROOT), "SCALE_TEMPLATE": str(template), **CREDENTIALS}
        return run(command, cwd=folder, env=env, alone=alone)

    export = ("ExportAllVersions", "--versions", f"1-{versions}", "--workers", str(workers))
    steps = {
        "make": (STUB, *export),
        "find complete": (STUB, *export),
        "verify": (REAL, "VerifyVersions"),
    }
    for step, (module, *arguments) in steps.items():
        if step not in without:
            yield step, luigi(module, *arguments), 0
    if "push" in without:
        return
    with moto(folder / "moto.log") as (endpoint, count):
        for step in ("push", "find pushed"):
            before = count()
            usage = luigi(REAL, "PushVersions", "--bucket", "s3://models", "--endpoint-url", endpoint, alone=False)
            yield step, usage, count() - before


@contextlib.contextmanager
def moto(log: Path) -> Iterator[tuple[str, Callable[[], int]]]:
    """An S3 on this machine with a bucket: its address, and how many requests it has had."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("wb") as stream:
        command: list[str | Path] = [tool("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(command, stdout=stream, stderr=stream)
    try:
        while f"Running on http://127.0.0.1:{port}" not in log.read_text():
            if server.poll() is not None:
                raise RuntimeError(log.read_text())
            time.sleep(0.1)
        endpoint = f"http://127.0.0.1:{port}"
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/models", method="PUT")).close()  # noqa: S310 - ours
        yield endpoint, lambda: log.read_text().count(' HTTP/1.1" ')
    finally:
        server.kill()
        server.wait()


def make_template(folder: Path) -> Path:
    """A real version, to be copied; and what all versions share, archives and arrays."""
    (folder / "luigi.cfg").write_text(SETTINGS)
    command: list[str | Path] = [
        tool("luigi"),
        "--module",
        REAL,
        "ExportVersion",
        "--version",
        "1",
        "--local-scheduler",
    ]
    run(command, cwd=folder, env={"PYTHONPATH": str(ROOT)})
    template = (folder / "models" / "mnist" / "1").rename(folder / "template")
    shutil.rmtree(folder / "work" / "training")
    if not (template / MANIFEST).is_file():
        raise FileNotFoundError(template / MANIFEST)
    return template


if __name__ == "__main__":
    raise SystemExit(main())
