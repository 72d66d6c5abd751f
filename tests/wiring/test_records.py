"""What is remembered about runs."""

import json
import os
from datetime import datetime, timedelta, timezone

import luigi
import pytest

from tasks.wiring.records import recorded


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
