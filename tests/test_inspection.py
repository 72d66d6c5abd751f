"""VerifyVersions and the gates against the version in service, through the real command line."""

import json
import shutil

import pytest

from tasks.execution.lineage import digest
from tasks.storage import checksums
from tasks.versions.evidence import mcnemar_p
from tests.buckets import edit_manifest
from tests.conftest import CommandLine, last_line, names_in, read_tree

CONFIG = """
[recipe]
dataset = small
training_iteration = 50
[recipe.2]
model = cnn
training_iteration = 5
"""
STABLE = """
model_config_list {{
  config {{
    name: "mnist" base_path: "{base_path}" model_platform: "tensorflow"
    version_labels {{ key: "stable" value: {version} }}
  }}
}}
"""


@pytest.fixture(scope="session")
def exported(tmp_path_factory, mirror):
    """Versions 1 (softmax) and 2 (cnn, hardly trained) in a folder of their own; not to be changed."""
    run = CommandLine(tmp_path_factory.mktemp("exported"), mirror)
    run.configure(CONFIG)
    run("ExportAllVersions", "--versions", "1,2", check=0)
    return run


@pytest.fixture
def run(exported, tmp_path, mirror):
    """A command line in a copy of that folder."""
    copied = CommandLine(tmp_path / "copy", mirror)
    shutil.copytree(exported.directory, copied.directory)
    return copied


def _label(run, version):
    path = run.base.parent / "models.config"
    path.write_text(STABLE.format(base_path=run.base, version=version))


class TestVerify:
    """The table, the exit code, and that nothing is changed."""

    def test_a_good_tree_is_good(self, run):
        """Each version has a line in the table, and nothing is changed."""
        before, work = read_tree(run.base), names_in(run.directory / "work")
        result = run("VerifyVersions", check=0)
        table = [line.split() for line in result.stdout.splitlines()]
        assert [["version", "state", "model", "validation", "test"]] == table[:1]
        assert [["1", "good", "softmax"], ["2", "good", "cnn"]] == [row[:3] for row in table[1:]]
        assert before == read_tree(run.base)
        assert work == names_in(run.directory / "work")

    def test_errors_give_an_exit_code_and_a_last_line(self, run):
        """A changed byte is in the table, in the last line and in the exit code."""
        data = run.base / "1" / "variables" / "variables.data-00000-of-00001"
        content = bytearray(data.read_bytes())
        content[100] ^= 1
        data.write_bytes(bytes(content))
        before = read_tree(run.base)
        result = run("VerifyVersions", "--versions", "1", check=30)
        name = "variables/variables.data-00000-of-00001"
        assert f"error   1: {name} was changed: SHA-256 " in result.stdout
        assert "      1  error  softmax" in result.stdout
        assert last_line(result).startswith(f"ERROR: VerifyVersions: {run.base}: 2 errors; the first: 1: ")
        assert "Traceback" not in result.stderr
        assert "deprecated" not in result.stderr
        assert before == read_tree(run.base)

    @pytest.mark.long
    def test_versions_of_a_bucket_are_loaded_if_asked_to(self, run):
        """With --deep, what no checksum can tell is found: here a manifest that speaks of a broken graph."""
        result = run("VerifyVersions", "--bucket", run.base, "--deep", check=0)
        assert ["good", "good"] == [line.split()[1] for line in result.stdout.splitlines()[1:]]
        graph = run.base / "2" / "saved_model.pb"
        graph.write_bytes(graph.read_bytes()[:100])
        told = {"bytes": 100, "sha256": checksums.sha256(graph)}
        edit_manifest(run.base / "2", files=lambda files: {**files, graph.name: told})
        run("VerifyVersions", "--bucket", run.base, check=0)
        result = run("VerifyVersions", "--bucket", run.base, "--deep", check=30)
        assert ["good", "error"] == [line.split()[1] for line in result.stdout.splitlines()[1:3]]
        assert last_line(result).startswith(f"ERROR: VerifyVersions: {run.base}: 1 error; the first: 2: ")

    def test_one_error_is_counted_once(self, run):
        """A missing index is missed by the manifest and by the loader, and is one error all the same."""
        (run.base / "1" / "variables" / "variables.index").unlink()
        result = run("VerifyVersions", check=30)
        assert ": 1 error; the first: 1: variables/variables.index is missing; the server " in last_line(result)

    def test_a_missing_base_path_is_an_error(self, run_luigi):
        """Where nothing is, nothing is made."""
        result = run_luigi("VerifyVersions", "--base-path", "nowhere", check=30)
        assert "nowhere is not there; the server's poll fails then, for all its models" in last_line(result)
        assert [] == [name for name in names_in(run_luigi.directory) if name == "nowhere"]


class TestRebuild:
    """Versions that are made again by the ordinary tasks, somewhere else."""

    @pytest.mark.parametrize("workers", [1, 2])
    def test_a_good_tree_is_made_again_to_the_same_bytes(self, run, workers):
        """Trained and exported again from their manifests, both versions have the same bytes; nothing stays."""
        before, work = read_tree(run.base), names_in(run.directory / "work")
        result = run("RebuildVersions", f"--workers={workers}", check=0)
        assert [["1", "equal"], ["2", "equal"]] == [line.split() for line in result.stdout.splitlines()[1:]]
        assert before == read_tree(run.base)
        assert work == names_in(run.directory / "work")

    def test_it_is_trained_again(self, run):
        """A checkpoint that was tampered with is not what the versions are compared with."""
        for state in run.directory.glob("work/training/*/*/*"):
            state.write_bytes(b"")
        run("RebuildVersions", "--versions=1", check=0)

    def test_what_a_failed_run_left_is_not_taken_for_made_again(self, run):
        """A rebuild that is there from a run that was killed is swept, not compared."""
        work = run.directory / "work"
        before = names_in(work)
        (work / f"rebuilt-{digest(str(run.base))}-0000" / "models" / "1").mkdir(parents=True)
        run("RebuildVersions", "--versions=1", check=0)
        assert before == names_in(work)

    def test_a_changed_file_is_named(self, run):
        """The version that differs is in the table, in the last line and in the exit code."""
        data = run.base / "1" / "variables" / "variables.data-00000-of-00001"
        content = bytearray(data.read_bytes())
        content[100] ^= 1
        data.write_bytes(bytes(content))
        result = run("RebuildVersions", check=30)
        assert [["1", "differs"], ["2", "equal"]] == [line.split() for line in result.stdout.splitlines()[1:3]]
        told = f"1: made again, it differs in {data.relative_to(run.base / '1')}"
        assert f"ERROR: RebuildVersions: {run.base}: 1 error; the first: {told}" == last_line(result)

    def test_the_luigi_cfg_of_today_does_not_matter(self, run):
        """A version is made from the recipe in its manifest, whatever the configuration says now."""
        run.configure(CONFIG + "batch_size = 7\n[recipe.1]\nseed = 3\nmin_accuracy = 1\n[training]\nthreads = 2\n")
        run("RebuildVersions", "--versions=1", check=0)

    def test_a_version_that_is_not_there_is_an_error(self, run):
        """Nothing is made for a number that nothing bears."""
        result = run("RebuildVersions", "--versions=1,9", check=30)
        assert f"ERROR: RebuildVersions: {run.base}: there is no version 9" == last_line(result)

    def test_a_rebuild_says_what_else_has_changed(self, run):
        """A manifest that was made with another release names both; one of other archives or recipes is not trained."""
        shutil.copytree(run.base / "1", run.base / "3")
        changed = {
            "1": {"made_with": {"tensorflow": "1.0"}},
            "2": {"dataset_checksums": {"a": "b"}},
            "3": {"recipe": {"dataset": "small"}},
        }
        for version, changes in changed.items():
            path = run.base / version / "assets.extra" / "manifest.json"
            content = {**json.loads(path.read_text()), **changes}
            del content["manifest_sha256"]
            path.write_text(json.dumps(content))
        result = run("RebuildVersions", check=30)
        assert (
            "made again, it differs in assets.extra/manifest.json (made with tensorflow 1.0, here 2." in result.stdout
        )
        assert "error   2: cannot be made again: it was made from another small, the archives differ" in result.stdout
        assert "error   3: cannot be made again: its manifest holds no recipe of this release" in result.stdout


class TestGates:
    """What a new version must pass when `stable` points at another one."""

    @pytest.mark.long
    def test_a_worse_version_is_not_published(self, run):
        """The last line says both accuracies, and nothing is published; without the gate it is."""
        _label(run, 1)
        before = read_tree(run.base)
        arguments = ["ExportVersion", "--version", "3", "--model", "cnn", "--training-iteration", "1"]
        result = run(*arguments, "--max-regression", "0.01", check=30)
        assert "version 3 is not published: its validation accuracy of 0." in last_line(result)
        assert "is more than max_regression = 0.01 below the " in last_line(result)
        result = run(*arguments, "--max-regression-p", "0.05", check=30)
        assert "(stable); exact McNemar's p = " in last_line(result)
        assert last_line(result).endswith(", max_regression_p = 0.05")
        assert before == read_tree(run.base)
        run(*arguments, "--warmup-records", "1", check=0)
        record = run.records()[-1]
        assert {"baseline": 1, "signature_changes": []} == record["comparison"]

    @pytest.mark.long
    def test_the_comparison_is_recorded_and_shapes_no_byte(self, run):
        """Both accuracies and the baseline's version are in the work folder; the version is the same as without."""
        run("ExportVersion", "--version", "3", "--base-path", "other", check=0)
        _label(run, 2)
        run("ExportVersion", "--version", "3", "--max-regression", "0.1", check=0)
        comparison = run.records()[-1]["comparison"]
        evidence = [comparison.pop(name) for name in ("only_right", "only_baseline_right", "p")]
        assert mcnemar_p(*evidence[:2]) == evidence[2]
        manifests = [
            json.loads((run.base / name / "assets.extra" / "manifest.json").read_text())["metrics"]["validation"]
            for name in "23"
        ]
        assert comparison == {
            "baseline": 2,
            "signature_changes": [],
            "baseline_accuracy": manifests[0]["accuracy"],
            "accuracy": manifests[1]["accuracy"],
        }
        assert read_tree(run.directory / "other" / "3") == read_tree(run.base / "3")

    def test_a_label_that_points_at_nothing_stops_everything(self, run):
        """Nothing is trained or published while `stable` points at a version that is gone, but that one can be made."""
        shutil.rmtree(run.base / "1")
        _label(run, 1)
        before, done = read_tree(run.base), len(run.records())
        result = run("ExportVersion", "--version", "3", "--seed", "5", check=30)
        assert f"points at version 1, and {run.base / '1'} is gone; " in last_line(result)
        assert "Traceback" not in result.stderr
        assert (before, done) == (read_tree(run.base), len(run.records()))
        run("ExportVersion", "--version", "1", check=0)
        assert ["1", "2"] == names_in(run.base)

    def test_a_config_file_with_an_error_is_named_with_its_line(self, run):
        """What cannot be parsed is not guessed at, and not touched."""
        path = run.base.parent / "models.config"
        path.write_text("model_config_list {\n  nonsense\n}\n")
        result = run("ExportVersion", "--version", "3", check=30)
        assert f"{path}: no ModelServerConfig in text format: line 2:3" in last_line(result)
        assert path.read_text() == "model_config_list {\n  nonsense\n}\n"
        assert ["1", "2"] == names_in(run.base)


class TestSettings:
    """`[export]` and its options."""

    def test_another_number_of_warm_up_records_is_a_conflict(self, run):
        """It shapes the bytes, so what is there with another number is in the way."""
        result = run("ExportVersion", "--version", "1", "--warmup-records", "0", check=30)
        assert "warmup_records is 3, asked for 0" in last_line(result)

    def test_no_warm_up(self, run):
        """With 0 under [export] the version has no such file."""
        run.configure(f"{CONFIG}[export]\nwarmup_records = 0\n")
        run("ExportVersion", "--version", "3", check=0)
        assert ["golden", "manifest.json"] == names_in(run.base / "3" / "assets.extra")

    @pytest.mark.parametrize(
        ("option", "value", "allowed"),
        [
            ("warmup-records", "1001", "a whole number from 0 to 1,000"),
            ("warmup-records", "-1", "a whole number from 0 to 1,000"),
            ("max-regression", "2", "a number from 0 to 1"),
            ("max-regression", "nan", "a number from 0 to 1"),
            ("max-regression-p", "1.5", "a number from 0 to 1"),
        ],
    )
    def test_a_value_that_is_not_allowed(self, run_here, option, value, allowed):
        """The last line says what is allowed; nothing is made."""
        result = run_here("ExportAllVersions", "--versions", "1", f"--{option}", value, check=40)
        assert f"{option.replace('-', '_')} = {value!r}: allowed is {allowed}" in last_line(result)
        assert [] == names_in(run_here.base)

    def test_an_unknown_key(self, run_here):
        """A key under [export] that has no effect is an error that lists those that have."""
        run_here.configure("[export]\nwarm_up = 3\n")
        result = run_here("ExportVersion", "--version", "1", check=40)
        assert "luigi.cfg [export] warm_up: unknown key; allowed are warmup_records, max_regression" in last_line(
            result
        )
