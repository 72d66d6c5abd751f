"""What a user sees of the processes that compute: networks of their own, faults in them, and what is missing."""

import os
import shutil
import time

import pytest

from tests.conftest import ROOT, last_line
from tests.execution.test_calls import check_none_left

MY_MODELS = """
import tests.small
from tasks.model.architectures import architecture

@architecture(optimizer="sgd", learning_rate=0.1)
def mine(images, weight):
    import tensorflow as tf
    return tf.matmul(images, weight("w", [784, 10]))

@architecture(optimizer="sgd", learning_rate=0.1)
def broken(images, weight):
    return images.no_such_thing

@architecture(optimizer="sgd", learning_rate=0.1)
def of_twelve(images, weight):
    return images @ weight("w", [784, 12])
"""


@pytest.fixture
def run(run_luigi):
    """A command line with networks of one's own."""
    (run_luigi.directory / "my_models.py").write_text(MY_MODELS)

    def start(*arguments, **options):
        paths = os.pathsep.join([str(ROOT), str(run_luigi.directory)])
        return run_luigi(
            "ExportVersion",
            "--version=1",
            "--dataset=small",
            "--training-iteration=20",
            *arguments,
            module="my_models",
            env={"PYTHONPATH": paths, **options.pop("env", {})},
            **options,
        )

    start.directory = run_luigi.directory
    return start


@pytest.mark.parametrize("workers", [1, 2])
def test_a_network_of_ones_own_is_known_to_the_engines(run, workers):
    """What `--module` registers is there where it is trained."""
    run("--model=mine", f"--workers={workers}", check=0)


def test_a_network_that_raises_is_told_with_file_and_line(run):
    """The traceback is that of the function, and the last line says what it raised."""
    result = run("--model=broken", check=30)
    assert 'my_models.py", line 12, in broken' in result.stderr
    assert "no_such_thing" in last_line(result)
    assert last_line(result).startswith("ERROR: TrainModel: ")


def test_a_network_for_other_classes_is_told_before_anything_is_trained(run):
    """In one line, with both numbers; no segment is left."""
    result = run("--model=of_twelve", check=30)
    told = (
        "model 'of_twelve' gives logits of the shape (1, 12) for one image; the dataset has 10 classes, so it has to be"
    )
    assert last_line(result).startswith(f"ERROR: TrainModel: {told} (1, 10); weight.classes is their number")
    assert "Traceback" not in result.stderr
    assert [] == [path for path in (run.directory / "work" / "training").rglob("*") if path.is_file()]


def test_more_threads_than_cores_are_allowed(run):
    """It is said, since it is slower, and changes the bits."""
    threads = (os.cpu_count() or 1) + 1
    result = run("--model=mine", f"--threads={threads}", check=0)
    assert f"threads = {threads}: this machine has {threads - 1} cores" in result.stderr


def test_luigis_process_has_no_tensorflow(run):
    """Not even when it trains and exports with one worker."""
    trap = run.directory / "trap"
    trap.mkdir()
    (trap / "sitecustomize.py").write_text(
        "import atexit, os, sys\n"
        "atexit.register(lambda: 'tensorflow' in sys.modules and os.write(2, b'TRAP: TensorFlow is here\\n'))\n"
    )
    paths = os.pathsep.join([str(trap), str(ROOT), str(run.directory)])
    assert "TRAP" not in run("--model=mine", env={"PYTHONPATH": paths}, check=0).stderr


@pytest.mark.long
def test_versions_of_several_threads_are_made_in_one_run(run_luigi):
    """Each number of threads has an engine; both versions say which was theirs."""
    run_luigi.configure("[recipe]\ndataset = small\ntraining_iteration = 20\n")
    for threads in (1, 2):
        options = ("ExportVersion", f"--version={threads}", f"--threads={threads}", f"--base-path=alone-{threads}")
        run_luigi(*options, check=0)
    (run_luigi.directory / "both.py").write_text(
        "import luigi, tests.small\nfrom tasks import ExportVersion\n"
        "class Both(luigi.WrapperTask):\n"
        "    def requires(self):\n"
        "        return [ExportVersion(version=n, threads=n, base_path='both', work_dir='other') for n in (1, 2)]\n"
    )
    paths = os.pathsep.join([str(ROOT), str(run_luigi.directory)])
    run_luigi("Both", module="both", env={"PYTHONPATH": paths}, check=0)
    for threads in (1, 2):
        alone, both = (
            run_luigi.directory / base / str(threads) / "assets.extra" / "manifest.json"
            for base in (f"alone-{threads}", "both")
        )
        assert alone.read_bytes() == both.read_bytes()


def start_long_training(run_luigi):
    """A run in the middle of a training that takes a minute; gives its process."""
    options = ("--version=1", "--dataset=small", "--model=cnn", "--training-iteration=6000")
    process = run_luigi.start("ExportVersion", *options, env={"MARK": str(run_luigi.directory)})
    while not list(run_luigi.directory.glob("work/training/*/1000")):
        assert process.poll() is None
        time.sleep(0.1)
    time.sleep(1)  # within the second segment of six
    return process


@pytest.mark.long
def test_a_work_directory_that_vanishes_is_told_in_one_line(run_luigi):
    """The last line names the folder, and the run ends."""
    process = start_long_training(run_luigi)
    shutil.rmtree(run_luigi.directory / "work")
    _, err = process.communicate(timeout=120)
    assert 30 == process.returncode
    assert err.splitlines()[-1].startswith("ERROR: TrainModel: ")
    assert "was the folder removed meanwhile?" in err.splitlines()[-1]
    check_none_left(run_luigi.directory)
