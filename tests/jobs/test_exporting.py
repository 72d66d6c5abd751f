"""What one run over three versions leaves and says, and that a recipe gives the same bytes."""

import os
import textwrap

import pytest

from tests.conftest import ROOT, CommandLine, names_in, read_tree
from tests.jobs.chain import CHAIN, VERSION_FILES, iterations_in, manifest_of


class TestOneRun:
    """What one run over three versions leaves and says."""

    def test_versions_appear_in_the_base_path(self, exported):
        """Asking for versions gives their directories and nothing else."""
        run, _, _ = exported
        assert ["1", "2", "3"] == names_in(run.base)
        for version in ("1", "2", "3"):
            assert VERSION_FILES == set(read_tree(run.base / version))

    def test_recipes_come_from_luigi_cfg(self, exported):
        """Each version is made by its own [recipe.N], completed by [recipe] and the defaults."""
        run, _, _ = exported
        manifests = [manifest_of(run.base / version) for version in ("1", "2", "3")]
        assert [1, 2, 3] == [manifest["model_version"] for manifest in manifests]
        assert [2, 4, 6] == [manifest["recipe"]["training_iteration"] for manifest in manifests]
        assert {
            "dataset": "small",
            "model": "softmax",
            "training_iteration": 6,
            "batch_size": 2,
            "optimizer": "sgd",
            "learning_rate": 0.02,
            "schedule": "constant",
            "seed": 0,
        } == manifests[2]["recipe"]

    def test_training_is_shared(self, exported):
        """Versions that differ in the number of iterations alone train each iteration once, in segments."""
        run, result, _ = exported
        assert [2, 2, 2] == iterations_in(run.records())
        for segment in ("1 to 2", "3 to 4", "5 to 6"):
            assert f"INFO: Trained softmax: iteration {segment}, loss " in result.stderr

    def test_the_seconds_of_a_version_are_those_of_all_its_segments(self, exported):
        """Also where others share them; the record of its export has them beside its own."""
        records = exported[0].records()
        trained = [record["seconds"] for record in records if record["task"] == "TrainModel"]
        (last,) = (record for record in records if record.get("path") == str(exported[0].base / "3"))
        assert 0 < last["training_seconds"] <= sum(trained)

    def test_log_is_a_story_without_chatter(self, exported):
        """A line for each phase and each version; nothing of Luigi's or TensorFlow's own."""
        _, result, _ = exported
        assert [
            "INFO: Archives of small",
            "INFO: Arrays of small: images",
            *["INFO: Trained softmax"] * 3,
            "INFO: Version 1",
            "INFO: Version 2",
            "INFO: Version 3",
        ] == sorted(line.rpartition(":")[0] for line in result.stderr.splitlines())

    def test_no_file_stays_in_the_temporary_folder(self, exported):
        """A run leaves nothing in TMPDIR."""
        assert [] == names_in(exported[2])

    def test_nothing_but_results_stays_in_the_work_folder(self, exported):
        """The work folder holds archives, arrays, segments and records, and nothing half-written."""
        work = exported[0].directory / "work"
        assert ["archives", "datasets", "records.jsonl", "training"] == names_in(work)
        assert [] == [path for path in work.rglob("*") if path.name.startswith(".")]

    def test_one_training_alone_gives_the_same_bytes(self, exported, run_luigi):
        """A version trained without a stop equals, byte for byte, the one that was continued from others."""
        run_luigi.configure(CHAIN.replace("segment = 2", "segment = 1000"))
        run_luigi("ExportVersion", "--version", "3", check=0)
        assert [6] == iterations_in(run_luigi.records())
        assert read_tree(exported[0].base / "3") == read_tree(run_luigi.base / "3")


@pytest.mark.long
@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_recipe_gives_the_same_bytes(tmp_path, mirror, threads):
    """Two processes, one of them on a single core, in other folders, write identical versions, manifest included."""
    trees = []
    for number, prefix in enumerate([(), ("taskset", "-c", "0")]):
        directory = tmp_path / str(number)
        directory.mkdir()
        run = CommandLine(directory, mirror)
        run.configure("[recipe]\ndataset = small\ntraining_iteration = 12\n[recipe.2]\nmodel = cnn\nbatch_size = 64\n")
        run("ExportAllVersions", "--versions=1,2", "--threads", threads, prefix=prefix, check=0)
        trees.append(read_tree(run.base))
    assert 2 * len(VERSION_FILES) == len(trees[0])
    assert trees[0] == trees[1]


@pytest.mark.long
def test_an_architecture_of_ones_own(run_luigi, tmp_path):
    """One function in a module of one's own is trained and exported; once edited, it does not find the old weights."""
    source = """
        import tasks
        from tests import small
        from tasks.model.architectures import architecture


        @architecture(optimizer="momentum", learning_rate=0.01)
        def tanh_layer(images, weight):
            import tensorflow as tf

            hidden = tf.tanh(images @ weight("hidden", [784, 16], fan_in=784))
            return hidden @ weight("logits", [16, 10], fan_in=16)
    """
    module = tmp_path / "my_models.py"
    module.write_text(textwrap.dedent(source))
    run_luigi.configure("[recipe]\ndataset = small\nmodel = tanh_layer\ntraining_iteration = 5\n")
    options = {"module": "my_models", "env": {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}, "check": 0}
    run_luigi("ExportVersion", "--version=1", **options)
    recipe = manifest_of(run_luigi.base / "1")["recipe"]
    assert ("tanh_layer", "momentum", 0.01) == (recipe["model"], recipe["optimizer"], recipe["learning_rate"])
    module.write_text(textwrap.dedent(source).replace("tf.tanh", "tf.nn.relu"))
    run_luigi("ExportVersion", "--version=2", **options)
    assert [5, 5] == iterations_in(run_luigi.records())
    assert 2 == len(names_in(run_luigi.directory / "work" / "training"))
