"""What runs on a Dask worker: a function with the folders that it reads, and the one that it fills, in a place here.

A worker needs this package and nothing of ours besides: no shared disk, and no plugin, which would stay on a cluster
that belongs to others. Whatever a process needs once is done by its first call.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import io
import os
import pickle
import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any

from distributed import get_worker

from tasks.errors import ClusterFailed, InvalidParameter
from tasks.execution import engine
from tasks.execution.dask_folders import FILLED, Files, Unpacker, read_files, write_files
from tasks.execution.lineage import model_source
from tasks.model.tensorflow_setup import prepare_tensorflow
from tasks.recipes import registry
from tasks.storage import checksums
from tasks.versions.manifest import made_with

TOPIC = "mnist-versions"  # of the events by which a worker says what it does
KEPT = 4  # large folders a worker keeps
REGISTRIES = (registry.DATASETS, registry.ARCHITECTURES, registry.OPTIMIZERS)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>


@dataclass(frozen=True)
class Call:
    """What travels to a worker.

    `packed` is the pickled (function, arguments, keywords), in which names stand for folders; `folders` has their
    content, or None where a worker keeps the folder once it has been brought. `registered` are the pickled registries.
    """

    number: str
    packed: bytes
    folders: Mapping[str, Files | None]
    registered: bytes
    computed_with: Mapping[str, str]
    threads: int
    reports: bool


@dataclass(frozen=True)
class Absent:
    """The answer of a worker that has not yet the folders of these names."""

    worker: str
    names: tuple[str, ...]


def compute(pickled: bytes, brought: Mapping[str, Files]) -> bytes:
    """Answer a call as an engine does: with (result, files of the filled folder), `Absent`, or what was raised."""
    call: Call = pickle.loads(pickled)  # noqa: S301 - from whom this worker computes for
    worker = get_worker()
    worker.log_event(TOPIC, {"call": call.number, "started": worker.address})
    with _without_profiler(worker):
        return engine.answer(partial(_compute, call, brought, worker))


@contextlib.contextmanager
def _without_profiler(worker: Any) -> Iterator[None]:
    """Have Dask not look a hundred times a second at what this call does: that takes a twentieth of the processor."""
    profilers = [one for name, one in worker.periodic_callbacks.items() if name.startswith("profile")]
    for one in profilers:
        worker.loop.add_callback(one.stop)  # it belongs to the loop's thread
    try:
        yield
    finally:
        for one in profilers:
            worker.loop.add_callback(one.start)


def _compute(call: Call, brought: Mapping[str, Files], worker: Any) -> Any:
    _check_fitness(call, worker)
    place = Path(worker.local_directory)
    kept = place / "folders"
    large = {name for name, files in call.folders.items() if files is None}
    absent = [name for name in large if name not in brought and not (kept / name).is_dir()]
    if absent:
        return Absent(worker.address, tuple(absent))
    _set_up(call.threads, worker.address)
    with tempfile.TemporaryDirectory(dir=place) as scratch:
        for name in large:
            if not (kept / name).is_dir():
                _keep(brought[name], Path(scratch, name), kept / name, large)
            os.utime(kept / name)
        folders = {name: kept / name for name in large}
        for name, files in call.folders.items():
            if files is not None:
                folders[name] = write_files(files, Path(scratch, name))
        filled = folders[FILLED] = write_files({}, Path(scratch, FILLED))
        function, arguments, keywords = Unpacker(io.BytesIO(call.packed), folders).load()
        if call.reports:
            keywords["report"] = lambda *told: worker.log_event(TOPIC, {"call": call.number, "report": told})
        return function(*arguments, **keywords), read_files(filled)


def computed_with() -> dict[str, str]:
    """What has to be the same on both sides, for the same bytes: versions, and digests of source as it was imported."""
    return {**_installed(), **{f"source of {name}": model_source(name)[:8] for name in registry.ARCHITECTURES}}


@lru_cache(maxsize=1)
def _installed() -> dict[str, str]:
    sources = sorted(Path(__file__).parents[1].rglob("*.py"))
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()
    python = ".".join(platform.python_version_tuple()[:2])
    return {"Python": python, "numpy": metadata.version("numpy"), **made_with(), "source of tasks": digest[:8]}


def _check_fitness(call: Call, worker: Any) -> None:
    """Make sure that this process gives the bytes that the caller's would, and computes nothing beside this call."""
    if worker.state.nthreads != 1:
        raise ClusterFailed(
            f"the Dask worker {worker.address} has {worker.state.nthreads} threads; start it with --nthreads 1: "
            "a process computes one version at a time"
        )
    ours = _installed()
    try:
        for own, received in zip(REGISTRIES, pickle.loads(call.registered), strict=True):  # noqa: S301 - the caller's
            own.update(received)
        ours = computed_with()
    except (ImportError, AttributeError) as error:
        raise ClusterFailed(
            f"the Dask worker {worker.address} cannot import what was registered: {error}; put that module on its path"
        ) from error
    differing = [
        f"{what} {ours.get(what)}, here {here}" for what, here in call.computed_with.items() if ours.get(what) != here
    ]
    if differing:
        raise ClusterFailed(
            f"the Dask worker {worker.address} would give other bytes: it has {'; '.join(differing)}; install the same "
            "there, and start it again"
        )


def _set_up(threads: int, address: str) -> None:
    """Do what a process needs before its first op, as `engine.live` does; and undo what Dask's nanny does to malloc.

    That sets MALLOC_TRIM_THRESHOLD_ to 64 KiB, so that TensorFlow's memory goes back to the system after each op: a
    training takes twice as long.
    """
    if "MALLOC_TRIM_THRESHOLD_" in os.environ:
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, 512 << 20)
        libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
    try:
        prepare_tensorflow(threads)
    except InvalidParameter as error:
        raise ClusterFailed(f"the Dask worker {address}: {error}; start it again") from error


def _keep(files: Files, aside: Path, target: Path, needed: set[str]) -> None:
    """Write a large folder whole, under the name of its content, in the place of the one that was not used longest."""
    write_files(files, aside)
    if hashlib.sha256(checksums.format_seal(aside)).hexdigest() != target.name:
        raise ClusterFailed(f"{target}: what arrived is not what was sent; run again")
    target.parent.mkdir(exist_ok=True)
    aside.rename(target)
    others = [one for one in target.parent.iterdir() if one.name not in needed]
    for one in sorted(others, key=lambda one: one.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(one)
