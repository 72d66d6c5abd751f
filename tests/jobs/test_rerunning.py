"""What a run does where versions are there already."""

import os
import shutil

import pytest

from tests.conftest import ROOT, names_in, read_tree
from tests.jobs.chain import iterations_in, snapshot


def segments_in(directory):
    """All files of trainings; of how the loss fell, told at moments that differ from run to run, the names alone."""
    files = read_tree(directory / "work" / "training")
    varying = ("curve.json", "checksums.json")
    return {path: None if str(path).endswith(varying) else content for path, content in files.items()}


class TestRunAgain:
    """What a run does where versions are there already."""

    @pytest.fixture
    def without_tensorflow(self, tmp_path):
        """An environment in which importing TensorFlow fails."""
        (tmp_path / "trap").mkdir()
        (tmp_path / "trap" / "tensorflow.py").write_text("raise AssertionError('TensorFlow was imported')\n")
        return {"PYTHONPATH": f"{tmp_path / 'trap'}{os.pathsep}{ROOT}"}

    @pytest.mark.parametrize("versions", ["1,2,3", "1-3", "3,1-2,2"])
    def test_does_nothing(self, finished, without_tensorflow, versions):
        """Versions that are there are left as they are, however the set is written, and TensorFlow stays out."""
        before = snapshot(finished.directory)
        result = finished("ExportAllVersions", "--versions", versions, env=without_tensorflow, check=0)
        assert "INFO: ExportAllVersions: there was nothing to do\n" == result.stderr
        assert before == snapshot(finished.directory)

    def test_shows_the_same_table(self, exported, finished, without_tensorflow):
        """What was made and what was there have the same rows but for the last word, and whatever the log level."""
        made = [line for line in exported[1].stdout.splitlines() if line.endswith("made")]
        options = ("--versions=1-3", "--log-level=WARNING", "--workers=2")
        result = finished("ExportAllVersions", *options, env=without_tensorflow, check=0)
        there = [line for line in result.stdout.splitlines() if line.endswith("was there")]
        assert 3 == len(made)
        without_seconds = [line.split()[:7] for line in made]
        assert without_seconds == [line.split()[:7] for line in there]
        assert f"They lie in {finished.base}" in result.stdout.splitlines()
        assert "" == result.stderr

    def test_the_trap_for_tensorflow_works(self, finished, without_tensorflow):
        """A run that has something to export does import TensorFlow, so the test above can fail."""
        assert 0 != finished("ExportVersion", "--version", "4", env=without_tensorflow).returncode

    def test_makes_only_what_is_missing(self, finished):
        """A further version is the only one that is made, and it finds its training."""
        before = snapshot(finished.base)
        finished("ExportAllVersions", "--versions", "1-4", check=0)
        assert ["ExportVersion"] == [record["task"] for record in finished.records()]
        assert "4" == finished.records()[0]["parameters"]["version"]
        after = snapshot(finished.base)
        assert before == {path: state for path, state in after.items() if path in before}
        assert ["1", "2", "3", "4"] == names_in(finished.base)

    def test_damaged_segments_are_trained_again(self, exported, finished):
        """A segment cut short and one with a flipped bit are made again, with a warning, and the result is the same."""
        (lineage,) = (finished.directory / "work" / "training").iterdir()
        short, flipped = lineage / "2" / "state.npz", lineage / "4" / "state.npz"
        short.write_bytes(short.read_bytes()[:-100])
        content = bytearray(flipped.read_bytes())
        content[len(content) // 2] ^= 1
        flipped.write_bytes(content)
        shutil.rmtree(lineage / "6")
        shutil.rmtree(finished.base / "3")
        result = finished("ExportVersion", "--version", "3", check=0)
        assert [2, 2, 2] == iterations_in(finished.records())
        for segment in ("2", "4"):
            assert f"WARNING: {lineage / segment} is damaged; this segment is trained again" in result.stderr
        original = exported[0].directory
        assert read_tree(original / "models") == read_tree(finished.directory / "models")
        assert segments_in(original) == segments_in(finished.directory)
