"""What is remembered about runs."""

import json
import os
from datetime import datetime, timedelta, timezone

import luigi
import pytest

from tasks.errors import StorageFailed
from tasks.wiring.records import NEWEST, read_records, recorded


class Recorded(luigi.Task):
    """A task with a parameter."""

    number = luigi.IntParameter(default=3)


def read(work_dir):
    return [json.loads(line) for line in (work_dir / "records.jsonl").read_text().splitlines()]


def test_a_run_leaves_one_line(tmp_path):
    """Task, parameters, process, when and how long, and whatever the block adds."""
    with recorded(Recorded(), tmp_path) as more:
        more["iterations"] = 5
    with recorded(Recorded(number=4), tmp_path):
        pass
    first, second = read(tmp_path)
    assert ("Recorded", {"number": "3"}, os.getpid(), 5) == tuple(
        first[key] for key in ("task", "parameters", "pid", "iterations")
    )
    assert {"number": "4"} == second["parameters"]
    assert 0 <= first["seconds"] < 10
    assert abs(datetime.now(timezone.utc) - datetime.fromisoformat(first["started"])) < timedelta(seconds=10)


def test_a_run_that_fails_leaves_none(tmp_path):
    """Only what succeeded is on record."""
    with pytest.raises(ValueError, match="no"), recorded(Recorded(), tmp_path):
        raise ValueError("no")
    assert [] == list(tmp_path.iterdir())


def test_the_last_record_of_each_thing_is_read(tmp_path):
    """By family; what is no record is passed over, and a folder without records has none."""
    assert {} == read_records(tmp_path, "Recorded")
    for number in (1, 2):
        with recorded(Recorded(number=number), tmp_path) as more:
            more["path"] = "where it lies"
    with (tmp_path / "records.jsonl").open("a") as stream:
        stream.write('{"task": "Recorded", "pa\n{"task": "Other", "path": "Recorded"}\n')
        stream.write('{"task": "Recorded"}\nRecorded\n')
    found = read_records(tmp_path, "Recorded")
    assert ["where it lies"] == list(found)
    assert "2" == found["where it lies"]["parameters"]["number"]


def test_nobody_waits_for_a_fifo(tmp_path, make_fifo):
    """There are no records in it, and none is written into it."""
    make_fifo(tmp_path / "records.jsonl")
    assert {} == read_records(tmp_path, "Recorded")
    with pytest.raises(StorageFailed, match="no link, FIFO or device is used there"), recorded(Recorded(), tmp_path):
        pass


def test_only_the_newest_records_are_read(tmp_path):
    """A file that has grown for years costs no more than its end."""
    lines = [json.dumps({"task": "Recorded", "fill": "x" * 10_000, "path": str(number)}) for number in range(500)]
    (tmp_path / "records.jsonl").write_text("\n".join(lines) + "\n")
    found = [int(path) for path in read_records(tmp_path, "Recorded")]
    assert 499 == found[-1]
    assert NEWEST // len(lines[-1]) == len(found)
