"""CompareVersions, through the real command line."""

import json
import os
import shutil

import pytest

from tests import disks
from tests.conftest import ROOT, CommandLine, last_line, names_in, read_tree
from tests.savedmodel.versions import write_foreign

CONFIG = """
[recipe]
dataset = small
training_iteration = 40
[recipe.2]
model = cnn
training_iteration = 5
[training]
segment = 20
"""
SERVED = """
model_config_list {{
  config {{
    name: "mnist" base_path: "{base_path}" model_platform: "tensorflow"
    model_version_policy {{ specific {{ versions: 1 versions: 3 }} }}
    version_labels {{ key: "stable" value: 1 }}
  }}
}}
"""
MOVE = {"label": "stable", "from": None, "to": 1, "why": "<b>good</b>", "task": "PromoteVersion", "model": "mnist"}


@pytest.fixture(scope="session")
def exported(tmp_path_factory, mirror):
    """Versions 1 and 3 (softmax) and 2 (cnn, hardly trained); 3.denied was taken back, 4 was made elsewhere."""
    run = CommandLine(tmp_path_factory.mktemp("exported"), mirror)
    run.configure(CONFIG)
    run("ExportAllVersions", "--versions", "1-3", check=0)
    (run.base / "3").rename(run.base / "3.denied")
    write_foreign(run.base / "4")
    (run.base.parent / "models.config").write_text(SERVED.format(base_path=run.base))
    move = {**MOVE, "when": "2026-11-24T12:56:43+00:00", "base_path": str(run.base), "config": "models.config"}
    other = {**move, "base_path": "/elsewhere", "why": "of another model"}
    text = "".join(json.dumps(line) + "\n" for line in (move, other))
    (run.base.parent / "releases.jsonl").write_text(text)
    return run


@pytest.fixture
def run(exported, tmp_path, mirror):
    """A command line in a copy of that folder, in whose files the copy's paths stand."""
    copied = CommandLine(tmp_path / "copy", mirror)
    shutil.copytree(exported.directory, copied.directory)
    for path in [*copied.base.parent.glob("*.*"), copied.directory / "work" / "records.jsonl"]:
        path.write_text(path.read_text().replace(str(exported.directory), str(copied.directory)))
    return copied


def rows(run, *arguments):
    """The rows that the task gives to other programs: name -> row; and all that it gives."""
    given = json.loads(run("CompareVersions", "--format", "json", *arguments, check=0).stdout)
    return {row["name"]: row for row in given["rows"]}, given


class TestPage:
    """The page, beside the records in the work directory."""

    @pytest.mark.long
    def test_it_is_the_same_each_time(self, run):
        """The second run gives the same bytes, with the latencies that the first has kept; the tree is untouched."""
        before = read_tree(run.base)
        result = run("CompareVersions", check=0)
        page = run.directory / "work" / "comparison.html"
        first, kept = page.read_bytes(), read_tree(run.directory / "work" / "latencies")
        assert f": {page}" in result.stdout.splitlines()[0]
        run("CompareVersions", check=0)
        assert first == page.read_bytes()
        assert kept == read_tree(run.directory / "work" / "latencies")
        run("CompareVersions", "--measure-again", "--output", "again.html", check=0)
        assert kept != read_tree(run.directory / "work" / "latencies")
        assert before == read_tree(run.base)

    def test_it_tells_of_everything(self, run):
        """What is served, what was taken back, the curve of a training in two segments, the history of this model."""
        text = run("CompareVersions", "--output", "page/here.html", check=0) and (
            run.directory / "page" / "here.html"
        ).read_text(encoding="utf-8")
        assert "(1 quarantined, 1 made elsewhere). The label stable points at version 1." in text
        assert "The work directory has no curve of 4." in text
        assert "&lt;b&gt;good&lt;/b&gt;" in text
        assert "of another model" not in text
        assert "iterations</small>" in text


class TestRows:
    """What other programs get."""

    def test_rows(self, run):
        """Measured on the same images, with labels, policy, state and cost; the accuracies are those of the export."""
        found, given = rows(run)
        assert ["1", "4", "2", "3.denied"] == list(found)
        assert (1, 4, 1) == tuple(given[key] for key in ("stable", "newest", "reference"))
        assert (["stable"], True, False) == tuple(found["1"][key] for key in ("labels", "loaded", "quarantined"))
        assert ("quarantined", True, False) == tuple(
            found["3.denied"][key] for key in ("state", "quarantined", "loaded")
        )
        for name in ("1", "2", "3.denied"):
            manifest = json.loads((run.base / name / "assets.extra" / "manifest.json").read_text())
            for split, measured in found[name]["measured"].items():
                assert manifest["metrics"][split]["accuracy"] == measured["accuracy"]
                assert manifest["metrics"][split]["mean_loss"] == measured["loss"]
            assert found[name]["training_seconds"] > 0
            assert found[name]["export"]["seconds"] > 0
        assert pytest.approx(0.1, abs=0.05) == found["4"]["measured"]["test"]["accuracy"]
        assert {} == found["4"]["recipe"]
        assert all(row["latency_seconds"].keys() == {"1", "128"} for row in found.values())

    def test_a_damaged_version_is_named_and_the_others_are_shown(self, run):
        """One that does not load is told with its fault, one whose manifest is damaged is measured all the same."""
        (run.base / "1" / "saved_model.pb").write_bytes(b"\x0a\xff")
        (run.base / "2" / "assets.extra" / "manifest.json").write_text('{"recipe": {}}')
        found, given = rows(run)
        assert ("error", {}) == (found["1"]["state"], found["1"]["measured"])
        assert any("saved_model.pb" in fault for fault in found["1"]["faults"])
        assert ("error", 200) == (found["2"]["state"], found["2"]["measured"]["test"]["images"])
        assert (1, 2) == (given["stable"], given["reference"])

    def test_versions_that_answer_otherwise(self, run):
        """A model without the signature cannot be measured, which is told; a number that a file bears is named."""
        shutil.rmtree(run.base / "4")
        write_foreign(run.base / "4", signature="ask_me")
        (run.base / "7").write_text("")
        found, given = rows(run)
        assert "cannot be measured: signature predict_images is missing" in found["4"]["faults"]
        assert any(fault.startswith("7: is a file; ") for fault in given["faults"])

    def test_some_versions(self, run):
        """Only those are compared; to another file if asked for."""
        run("CompareVersions", "--versions", "2,4", "--format", "json", "--output", "rows.json", check=0)
        given = json.loads((run.directory / "rows.json").read_text())
        assert ["4", "2"] == [row["name"] for row in given["rows"]]
        assert (None, 2) == (given["stable"], given["reference"])


class TestRefused:
    """What cannot be done is told in one line, before anything is measured."""

    def test_an_empty_base_path(self, run_luigi):
        """There is nothing to compare; nothing is made."""
        (run_luigi.base).mkdir(parents=True)
        result = run_luigi("CompareVersions", check=30)
        assert last_line(result) == f"ERROR: CompareVersions: {run_luigi.base}: there is no version at all"
        assert [] == names_in(run_luigi.directory / "work")

    @pytest.mark.parametrize(
        ("output", "told"),
        [
            ("models", "a folder is in the way of a file"),
            ("luigi.cfg/page.html", "is a file where a folder is needed"),
            ("models/mnist/1/page.html", "must not lie in the base path, which holds versions only"),
        ],
    )
    def test_an_output_that_cannot_be_written(self, run, output, told):
        """A folder, a place below a file, and the base path itself."""
        before = read_tree(run.directory)
        result = run("CompareVersions", "--output", output, check=30)
        assert str((run.directory / output).parent) in last_line(result)
        assert told in last_line(result)
        assert "Traceback" not in result.stderr
        assert before == read_tree(run.directory)

    def test_a_place_without_permission(self, run, tmp_path):
        """A folder that this user may not write to."""
        (tmp_path / "closed").mkdir()
        with disks.closed(tmp_path / "closed"):
            result = run("CompareVersions", "--output", tmp_path / "closed" / "page.html", check=30)
        assert f"{tmp_path / 'closed'} is not writable for this user" in last_line(result)

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["--versions", "1,9"], "there is no version 9"),
            (["--dataset", "cifar"], "dataset = 'cifar': allowed is one of "),
        ],
    )
    def test_values_that_are_not_allowed(self, run, arguments, told):
        """A version that is not there, an unknown dataset."""
        assert told in last_line(run("CompareVersions", *arguments, check=30))

    def test_without_the_extra(self, run, tmp_path):
        """The page needs matplotlib and Jinja2: the line says how they are installed, and what works without."""
        (tmp_path / "jinja2.py").write_text("raise ModuleNotFoundError('No module named jinja2', name='jinja2')")
        path = os.pathsep.join([str(tmp_path), str(ROOT)])
        result = run("CompareVersions", env={"PYTHONPATH": path}, check=30)
        assert "the page needs jinja2, which is not installed: pip install 'mnist-versions[report]'" in last_line(
            result
        )
        run("CompareVersions", "--format", "json", env={"PYTHONPATH": path}, check=0)
