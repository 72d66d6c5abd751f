"""A version directory that is there and is not what is asked for, and a model below its gate."""

import re
import shutil

from tests.conftest import last_line, names_in
from tests.jobs.chain import CHAIN, manifest_of, snapshot


class TestConflicts:
    """A version directory that is there and is not what is asked for."""

    def test_fails_that_version_alone(self, finished):
        """Another recipe, a foreign folder and a plain file fail their versions, untouched; the next one is made."""
        finished.configure(CHAIN.replace("[recipe.1]", "[recipe.1]\nseed = 7\nlearning_rate = 0.25"))
        for version in ("2", "3"):
            shutil.rmtree(finished.base / version)
        (finished.base / "2").mkdir()
        (finished.base / "2" / "saved_model.pb").write_bytes(b"somebody else's")
        (finished.base / "3").write_bytes(b"a file")
        before = snapshot(finished.base)

        result = finished("ExportAllVersions", "--versions", "1,2,3,4", check=30)

        after = snapshot(finished.base)
        assert before == {path: state for path, state in after.items() if path in before}
        assert ["1", "2", "3", "4"] == names_in(finished.base)
        assert 4 == manifest_of(finished.base / "4")["model_version"]
        assert ["ExportVersion"] == [record["task"] for record in finished.records()]
        told = result.stderr.rstrip().splitlines()[-3:]
        first, second, third = sorted(told)
        assert f"ERROR: ExportVersion: {finished.base / '1'} is there with another recipe: " in first
        assert "learning_rate is 0.02, asked for 0.25" in first
        assert "seed is 0, asked for 7" in first
        assert "training_iteration" not in first
        assert f"{finished.base / '2'} is there, but was not made by this pipeline" in second
        assert f"{finished.base / '3'} is there, but was not made by this pipeline" in third
        for line, version in zip((first, second, third), "123", strict=True):
            assert "nothing was overwritten" in line
            assert "another version number or another --base-path" in line
            assert f"remove {finished.base / version} if no server uses it" in line
        assert "Traceback" not in result.stderr

    def test_the_command_line_wins_over_luigi_cfg(self, finished):
        """A key given as an option wins over [recipe.N]; Luigi's own precedence of exit codes holds."""
        finished.configure(CHAIN + "[retcode]\ntask_failed = 77\n")
        result = finished("ExportVersion", "--version", "2", "--training-iteration", "5", check=77)
        assert "training_iteration is 4, asked for 5" in last_line(result)

    def test_every_key_is_an_option(self, finished):
        """Each key of a recipe can be given on the command line, where the same recipe finds the same version."""
        options = (
            "--dataset=small --model=softmax --training-iteration=6 --batch-size=2 --optimizer=sgd "
            "--learning-rate=2e-2 --learning-rate-schedule=constant --seed=0 --min-accuracy=0 --threads=1"
        )
        finished.configure("")
        result = finished("ExportVersion", "--version=3", *options.split(), check=0)
        assert "there was nothing to do" in result.stderr

    def test_a_gate_set_later_is_told(self, finished):
        """A published version below the min_accuracy now asked for fails with both numbers."""
        accuracy = manifest_of(finished.base / "1")["metrics"]["validation"]["accuracy"]
        result = finished("ExportVersion", "--version", "1", "--min-accuracy", "1", check=30)
        assert f"{accuracy:.4f}, below the min_accuracy of 1.0" in last_line(result)

    def test_a_gate_that_it_passes_is_no_difference(self, finished):
        """min_accuracy shapes no byte: a published version that passes it is complete."""
        result = finished("ExportVersion", "--version", "3", "--min-accuracy", "0.1", check=0)
        assert "there was nothing to do" in result.stderr


def test_a_model_below_its_gate_is_not_published(run_luigi):
    """The error names validation accuracy and min_accuracy, the exit code is 30, the base path stays empty."""
    run_luigi.configure(CHAIN)
    result = run_luigi("ExportVersion", "--version", "1", "--min-accuracy", "0.9999", check=30)
    assert re.search(r"validation accuracy of 0\.\d{4} is below the min_accuracy of 0\.9999", last_line(result))
    assert [] == names_in(run_luigi.base)
