"""The table at the end of a run that was asked for versions."""

import json

import luigi
import pytest

from tasks import ExportAllVersions, ExportVersion, VerifyVersions, version_sets
from tasks.versions.manifest import Manifest, write_manifest
from tasks.wiring.summary import columns, tell

METRICS = {split: {"accuracy": accuracy} for split, accuracy in (("validation", 0.9912), ("test", 0.9919))}
RECIPE = {"model": "softmax", "training_iteration": 1000}
FILES = {"variables": {"bytes": 654_321, "sha256": "0" * 64}}
GROUPS = ("already_done", "completed", "ever_failed", "failed", "upstream_failure", "run_by_other_worker")


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Put manifests of versions into a folder of their own, which is the working directory."""
    monkeypatch.chdir(tmp_path)

    def write(*versions):
        for version in versions:
            task = ExportVersion(version=version, **RECIPE)
            manifest = Manifest(version, task.recipe.shaping(), {}, METRICS, {}, FILES, {})
            task.output().path.mkdir(parents=True)
            write_manifest(task.output().path, manifest)

    return write


def told(*tasks, **groups):
    """The lines that are told about these tasks."""
    return tell(tasks, {**{group: set() for group in GROUPS}, **groups}).splitlines()


def test_a_large_set_is_told_without_its_parts(publish, monkeypatch):
    """Each version is a row; no task is made for it, which for thousands takes longer than all else."""
    publish(1, 2, 3)
    monkeypatch.setattr(version_sets, "PART", 2)
    task = ExportAllVersions(versions="1-3", **RECIPE)
    monkeypatch.setattr(version_sets, "ExportPart", "cannot be made")
    assert ["1", "2", "3"] == [line.split()[0] for line in told(task, already_done={task})[1:4]]


def test_what_was_made_and_what_was_there(publish, tmp_path):
    """A row for each version, with the seconds that are on record, then where, how to serve, and how to check."""
    publish(1, 2)
    task = ExportAllVersions(versions="1-3", **RECIPE)
    made, there, failed = task.exports
    record = {"task": "ExportVersion", "path": str(made.output().path), "seconds": 1.23, "training_seconds": 4.5}
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "records.jsonl").write_text(json.dumps(record) + "\n")
    groups = {"completed": {made}, "already_done": {there}, "failed": {failed}, "ever_failed": {failed}}
    mount = f"type=bind,source={tmp_path}/models/mnist,target=/models/mnist,readonly"
    name = "-e MODEL_NAME=mnist tensorflow/serving"
    assert [
        "version  model    iterations  validation    test    size  seconds",
        "      1  softmax        1000      0.9912  0.9919  0.7 MB      5.7  made",
        "      2  softmax        1000      0.9912  0.9919  0.7 MB        -  was there",
        "      3  softmax        1000           -       -       -        -  failed",
        "",
        f"They lie in {tmp_path}/models/mnist",
        f"Serve them: docker run --rm -p 127.0.0.1:8500:8500 -p 127.0.0.1:8501:8501 --mount {mount} {name}",
        "Check them: luigi --module tasks VerifyVersions",
    ] == told(task, **groups)


def test_a_set_that_was_there_is_shown_too(publish):
    """Luigi looks at none of its versions then."""
    publish(1, 2)
    task = ExportAllVersions(versions="1,2")
    rows = told(task, already_done={task})
    assert [["1", "was there"], ["2", "was there"]] == [[row.split()[0], row[-9:]] for row in rows[1:3]]


def test_nothing_is_to_be_served_where_nothing_is(publish):
    """Where all versions failed, or wait for what failed, the table is all."""
    publish()
    task = ExportAllVersions(versions="1-3", **RECIPE)
    failed, waits, elsewhere = task.exports
    groups = {"failed": {failed}, "upstream_failure": {waits, task}, "run_by_other_worker": {elsewhere}}
    assert ["failed", "not made", "elsewhere"] == [line.rpartition("  ")[2] for line in told(task, **groups)[1:]]


def test_a_long_table_is_cut(publish):
    """Its ends are shown, and whatever failed, with a count of all."""
    publish(*range(1, 201))
    task = ExportAllVersions(versions="1-200")
    failed = {task.exports[99]}
    lines = told(task, completed=set(task.exports) - failed, failed=failed)
    shown = [int(line.split()[0]) for line in lines[1:22]]
    assert [*range(1, 11), 100, *range(191, 201)] == shown
    assert "200 versions: 199 made, 1 failed; not all are shown" == lines[22]


def test_versions_behind_any_wrapper_are_told(publish):
    """Also those of two base paths; a task that makes no version has no table."""

    class Both(luigi.WrapperTask):
        def requires(self):
            return {"b": ExportVersion(version=1, base_path="other path"), "a": ExportAllVersions(versions="2")}

    publish(1, 2)
    lines = told(Both())
    assert 2 == sum(line.startswith("version ") for line in lines)
    assert any("--base-path '" in line for line in lines)
    assert [] == told(VerifyVersions())


def test_columns_are_aligned():
    """Numbers to the right, words to the left."""
    assert ["name     n", "a       10", "longer   9"] == columns([["name", "n"], ["a", "10"], ["longer", "9"]])
