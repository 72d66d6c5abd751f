"""What is remembered about runs: when, where and how long goes to `work/records.jsonl`, never into a version."""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import luigi

from tasks.storage import publishing

RECORDS = "records.jsonl"


@contextlib.contextmanager
def recorded(task: luigi.Task, work_dir: str) -> Iterator[dict[str, Any]]:
    """Append one line when the block succeeds; what it puts into the dictionary that it gets is in it, too."""
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
    publishing.append_line(Path(work_dir, RECORDS), json.dumps(record))


def find_exports(work_dir: Path) -> dict[str, dict[str, Any]]:
    """Folder of a version -> when, where and how long it was exported, the last time; unreadable lines are left out."""
    found = dict[str, dict[str, Any]]()
    with contextlib.suppress(FileNotFoundError), (work_dir / RECORDS).open("rb") as lines:
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                record = json.loads(line)
                told = {"started": str(record["started"]), "host": str(record["host"])}
                found[str(record["path"])] = {**told, "seconds": float(record["seconds"])}
    return found
