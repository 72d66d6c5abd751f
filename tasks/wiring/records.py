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
from tasks.storage.files import open_regular
from tasks.storage.json_text import is_number, parse_json

RECORDS = "records.jsonl"
NEWEST = 4 << 20  # bytes of it that are read: a few thousand lines


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
    for path, record in read_records(str(work_dir), "ExportVersion").items():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            told = {"started": str(record["started"]), "host": str(record["host"])}
            found[path] = {**told, "seconds": float(record["seconds"])}
    return found


def read_records(work_dir: str, family: str) -> dict[str, dict[str, Any]]:
    """What tasks of a family have made -> the last record of it; lines that cannot be read are left out."""
    found: dict[str, dict[str, Any]] = {}
    with contextlib.suppress(OSError), open_regular(Path(work_dir, RECORDS)) as stream:
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - NEWEST))
        for line in stream:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                if family.encode() in line and (record := parse_json(line))["task"] == family:
                    times = [record[name] for name in ("seconds", "training_seconds") if name in record]
                    if all(is_number(seconds) and seconds >= 0 for seconds in times):
                        found[str(record["path"])] = record
    return found
