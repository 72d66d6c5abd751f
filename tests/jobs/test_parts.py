"""Sets of so many versions that Luigi gets to know them in parts; here two of them are many."""

import os
import shutil

import pytest

from tests.conftest import ROOT, names_in
from tests.jobs.chain import CHAIN

IN_PARTS = "import tests.small\nfrom tasks import version_sets\nversion_sets.PART = 2\n"


@pytest.fixture
def run(run_luigi):
    """A command line where two versions are a part."""
    (run_luigi.directory / "parts.py").write_text(IN_PARTS)
    run_luigi.configure(CHAIN)
    env = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(run_luigi.directory)])}

    def start(*arguments, **options):
        return run_luigi("ExportAllVersions", *arguments, module="parts", env=env, **options)

    start.directory, start.base, start.records = run_luigi.directory, run_luigi.base, run_luigi.records
    return start


def exported(records):
    """The versions that were exported, in the order in which their exports began."""
    exports = [record for record in records if record["task"] == "ExportVersion"]
    return [record["parameters"]["version"] for record in sorted(exports, key=lambda record: record["started"])]


@pytest.mark.parametrize("workers", [1, 2])
def test_all_parts_are_made_in_their_order(run, workers):
    """The first version asked for comes first; a second run finds all of them, and looks at no part."""
    result = run("--versions", "1-5", f"--workers={workers}", "--log-level=DEBUG", check=0)
    assert [str(version) for version in range(1, 6)] == names_in(run.base)
    assert "ExportPart" in result.stderr
    made = exported(run.records())
    assert "1" == made[0]
    if workers == 1:  # a second one begins the next part where all that is known waits for the first
        assert ["1", "2", "3", "4", "5"] == made
    assert "ExportPart" not in run("--versions", "1-5", "--log-level=DEBUG", check=0).stderr


@pytest.mark.long
def test_a_version_in_a_part_is_the_task_that_it_is_alone(run, run_luigi):
    """Its parameters, of which Luigi makes the task's id, are the same; so is what it becomes."""
    run("--versions", "1-3", check=0)
    (in_a_part,) = [record["parameters"] for record in run.records() if record["parameters"].get("version") == "3"]
    kept = shutil.move(run.base, run.directory / "kept")
    run_luigi("ExportVersion", "--version", "3", check=0)
    assert in_a_part == run.records()[-1]["parameters"]
    names = sorted(path.relative_to(kept / "3") for path in (kept / "3").rglob("*"))
    assert names == sorted(path.relative_to(run.base / "3") for path in (run.base / "3").rglob("*"))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_version_that_fails_stops_no_part_behind_it(run, workers):
    """The others go on, and the run ends with the one line that says what failed."""
    (run.base / "1").mkdir(parents=True)
    result = run("--versions", "1-5", f"--workers={workers}", check=30)
    assert [str(version) for version in range(1, 6)] == names_in(run.base)
    assert ["2", "3", "4", "5"] == sorted(exported(run.records()))
    errors = [line for line in result.stderr.splitlines() if line.startswith("ERROR: ")]
    assert errors[-1].startswith("ERROR: ExportVersion: ")
    assert "was not made by this pipeline" in errors[-1]
    assert "another worker" not in result.stderr
    assert "was not granted run permission" not in result.stderr
