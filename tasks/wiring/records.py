"""Where a training is found again, and what is remembered about runs.

A training is addressed by all that shapes its weights. What differs from run to run (when, where, how long) goes
to `work/records.jsonl`, never into a version.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import luigi

from tasks.data.dataset import Dataset
from tasks.model.architectures import find_architecture
from tasks.storage import publishing

DISTRIBUTION = "mnist-versions"
DIGITS = 16  # of a SHA-256 in the name of a folder: 64 bits are plenty for what one machine trains
MODEL_SOURCES = Path(__file__).parent / "model"


def lineage(plan: Mapping[str, Any], dataset: Dataset, threads: int) -> str:
    """The name of the folder that holds the segments of one training.

    It stands for everything that shapes the weights but the number of iterations: the plan, the data, the threads,
    TensorFlow's version, and the source of `tasks/model/` and of the architecture, so that an edited network never
    finds the weights of the one before.
    """
    return digest(
        {
            "plan": dict(plan),
            "dataset": dataset_identity(dataset),
            "threads": threads,
            "tensorflow": tensorflow_version(),
            "source": model_source(str(plan["model"])),
        }
    )


def dataset_identity(dataset: Dataset) -> dict[str, Any]:
    """What tells apart two sets of arrays: the archives' checksums and the split."""
    return {"checksums": dataset.checksums, "validation_images": dataset.validation_images}


def digest(value: Any) -> str:
    """A short name for any value that JSON can express."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:DIGITS]


@lru_cache(maxsize=1)
def tensorflow_version() -> str:
    """The installed version, without importing it."""
    return metadata.version("tensorflow")


def made_with() -> dict[str, str]:
    """The versions of what a model is made with, for its manifest."""
    return {"tensorflow": tensorflow_version(), DISTRIBUTION: metadata.version(DISTRIBUTION)}


@lru_cache(maxsize=32)
def model_source(model: str) -> str:
    """The SHA-256 of all source that a training of this architecture runs."""
    sources = [*sorted(MODEL_SOURCES.glob("*.py")), Path(inspect.getfile(find_architecture(model).logits))]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()


@contextlib.contextmanager
def recorded(task: luigi.Task, work_dir: str) -> Iterator[dict[str, Any]]:
    """Append one line to `work/records.jsonl` when the block succeeds: task, when, where, how long.

    What the block puts into the dictionary that it gets is recorded too.
    """
    started, clock = datetime.now(timezone.utc), time.monotonic()
    more: dict[str, Any] = {}
    yield more
    record = {
        "task": task.task_family,
        "started": started.isoformat(timespec="milliseconds"),
        "seconds": round(time.monotonic() - clock, 3),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "parameters": task.to_str_params(),
        **more,
    }
    publishing.append_line(Path(work_dir, "records.jsonl"), json.dumps(record))
