"""The tutorial's command line, as a user calls it, on the original data."""

import os
import subprocess

import pytest

from tasks.tutorial import main
from tests.conftest import BIN, names_in, read_tree
from tests.jobs.chain import manifest_of

ARCHIVES = [
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
]
WORK_DIR = "100% MNIST"
TOLD = """Training model...
training accuracy {}
Done training!
Exporting trained model to export/model/1
Done exporting!
"""
CACHE = "Checkpoints, arrays and records are kept in {}/mnist-versions"
USAGE = "usage: mnist_saved_model [--training_iteration=x] [--model_version=y]"
MISLEADING = """
[recipe]
model = cnn
batch_size = 7
unheard_of = 1
[recipe.1]
seed = 5
dataset = digits
[training]
threads = 2
[retcode]
task_failed = 0
"""


def export(directory, *arguments):
    """Run `mnist_saved_model` in a folder, with a cache below it."""
    return subprocess.run(
        [BIN / "mnist_saved_model", *map(str, arguments)],
        cwd=directory,
        env={**os.environ, "XDG_CACHE_HOME": str(directory / "cache")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def last_line(text):
    return text.rstrip().rpartition("\n")[2]


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory, mnist_dir):
    """A folder in which version 1 was exported, with a luigi.cfg that means other things, and the result.

    Three of the archives lay in the work_dir already, the fourth came from a mirror.
    """
    directory = tmp_path_factory.mktemp("tutorial")
    (directory / "luigi.cfg").write_text(f"{MISLEADING}[DownloadDataset]\nmirrors = {mnist_dir}\narchive_dir = other\n")
    (directory / WORK_DIR).mkdir()
    for name in ARCHIVES[1:]:
        (directory / WORK_DIR / name).symlink_to(mnist_dir / name)
    return directory, export(directory, f"--work_dir={WORK_DIR}", "export/model")


@pytest.mark.mnist
class TestExport:
    """An export_dir that is made, asked for again, and in the way."""

    def test_succeeds_and_says_where(self, tutorial):
        """The exit code is 0, stdout has the tutorial's lines, and stderr where the cache lies and nothing else."""
        directory, result = tutorial
        assert 0 == result.returncode, result.stderr
        accuracy = manifest_of(directory / "export" / "model" / "1")["metrics"]["test"]["accuracy"]
        assert TOLD.format(f"{accuracy:g}") == result.stdout
        assert f"{CACHE.format(directory / 'cache')}\n" == result.stderr

    def test_gives_the_tutorials_model(self, tutorial):
        """The recipe is the tutorial's, whatever luigi.cfg says, and scores like it."""
        manifest = manifest_of(tutorial[0] / "export" / "model" / "1")
        assert {
            "dataset": "mnist",
            "model": "softmax",
            "training_iteration": 1000,
            "batch_size": 50,
            "optimizer": "sgd",
            "learning_rate": 0.5,
            "schedule": "constant",
            "seed": 0,
        } == manifest["recipe"]
        assert 1 == manifest["threads"]
        assert 0.9 <= manifest["metrics"]["test"]["accuracy"]

    def test_archives_lie_flat_in_the_work_dir(self, tutorial):
        """The work_dir holds the four archives and nothing else; what else is kept goes to the user's cache."""
        directory, _ = tutorial
        assert ARCHIVES == names_in(directory / WORK_DIR)
        assert [WORK_DIR, "cache", "export", "luigi.cfg"] == names_in(directory)
        assert ["mnist-versions"] == names_in(directory / "cache")
        assert ["1"] == names_in(directory / "export" / "model")

    def test_the_same_again_is_success(self, tutorial):
        """A version that is there with the same recipe is success, and is left alone."""
        directory, _ = tutorial
        before = read_tree(directory)
        result = export(
            directory, "--training_iteration=1000", "--model_version", "1", f"--work_dir={WORK_DIR}", "export/model"
        )
        assert 0 == result.returncode
        assert tutorial[1].stdout == result.stdout
        there = f"{directory / 'export' / 'model' / '1'} is there already; nothing is trained"
        assert f"{CACHE.format(directory / 'cache')}\n{there}\n" == result.stderr
        assert before == read_tree(directory)

    def test_another_recipe_is_a_conflict(self, tutorial):
        """A version that is there with another recipe fails, although luigi.cfg gives failed tasks the exit code 0."""
        directory, _ = tutorial
        before = read_tree(directory)
        result = export(directory, "--training_iteration=2000", f"--work_dir={WORK_DIR}", "export/model")
        assert 1 == result.returncode
        assert "Training model...\n" == result.stdout
        assert "training_iteration is 1000, asked for 2000" in last_line(result.stderr)
        assert "Traceback" not in result.stderr
        assert before == read_tree(directory)


def test_no_mirror_answers(tmp_path):
    """Where the archives cannot be had, the exit code is 1, the last line names the folder, nothing is exported."""
    (tmp_path / "luigi.cfg").write_text(f"[DownloadDataset]\nmirrors = {tmp_path / 'nowhere'}\n")
    result = export(tmp_path, "--work_dir", tmp_path / "mnist", "export")
    assert 1 == result.returncode
    assert f"into {tmp_path / 'mnist'} yourself" in last_line(result.stderr)
    assert [] == names_in(tmp_path / "export")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ([], "export_dir"),
        ([""], "the name of a folder is needed"),
        (["--training_iteration=0", "export"], "--training_iteration: '0' is not allowed; a whole number above 0 is"),
        (["--training_iteration=-1", "export"], "'-1' is not allowed; a whole number above 0 is"),
        (["--training_iteration=many", "export"], "'many' is not allowed; a whole number above 0 is"),
        (["--training_iteration=99999999", "export"], "a whole number from 1 to 10,000,000"),
        (["--model_version=0", "export"], "--model_version: '0' is not allowed; a whole number above 0 is"),
        ([f"--model_version={2**63}", "export"], "allowed are whole numbers from 1 to 9223372036854775807"),
        (["--iterations=5", "export"], "unrecognized arguments: --iterations=5"),
        (["--training_iter=5", "export"], "unrecognized arguments: --training_iter=5"),
        (["export", "another"], "unrecognized arguments: another"),
    ],
    ids=str,
)
def test_wrong_calls(this_process, capsys, arguments, what):
    """A wrong call is told with the usage on stderr, without a traceback; the exit code is 2 and nothing is made."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    told = capsys.readouterr()
    assert (2, "") == (ended.value.code, told.out)
    assert told.err.startswith(USAGE)
    assert what in last_line(told.err)
    assert [] == names_in(this_process)


def test_a_wrong_call_through_the_command_line(tmp_path):
    """A process of its own says the same."""
    result = export(tmp_path, "--training_iteration=0", "export")
    assert (2, "") == (result.returncode, result.stdout)
    assert result.stderr.startswith(USAGE)
    assert last_line(result.stderr).endswith("'0' is not allowed; a whole number above 0 is")
    assert "Traceback" not in result.stderr
    assert [] == names_in(tmp_path)
