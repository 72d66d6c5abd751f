"""Runs whose trainings and exports are computed on a Dask cluster, as `[execution]` of luigi.cfg says."""

import os
import signal
import time

import pytest

from tests.conftest import ROOT, last_line, read_tree
from tests.dask_processes import DaskProcesses
from tests.jobs.chain import CHAIN, iterations_in
from tests.jobs.test_engines import MY_MODELS

EXECUTION = "[execution]\nengine = dask\ndask_scheduler = {}\n"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler and two workers, which know nothing of the folders of a run."""
    processes = DaskProcesses(tmp_path_factory.mktemp("dask"))
    processes.add_workers(2)
    yield processes
    processes.close()


@pytest.mark.long
def test_the_same_bytes_come_from_a_cluster(cluster, exported, run_luigi):
    """Three versions that share segments, two in flight: tree and checkpoints are those of engines."""
    run_luigi.configure(CHAIN + EXECUTION.format(cluster.address))
    run_luigi("ExportAllVersions", "--versions", "1-3", "--workers", "2", check=0)
    local = exported[0]
    assert read_tree(local.base) == read_tree(run_luigi.base)
    expected, found = (
        read_tree(directory / "work" / "training") for directory in (local.directory, run_luigi.directory)
    )
    assert expected.keys() == found.keys()  # of a curve, the points that are recorded depend on the machine
    assert {expected[name] == found[name] for name in found if name.endswith("state.npz")} == {True}
    assert [2, 2, 2] == iterations_in(run_luigi.records())


def test_an_export_is_held_against_the_version_in_service(cluster, finished):
    """That version, which lies in no folder of the work directory, goes along."""
    (finished.base.parent / "models.config").write_text(
        f'model_config_list {{ config {{ name: "mnist" base_path: "{finished.base}" model_platform: "tensorflow" '
        'version_labels { key: "stable" value: 3 } } }'
    )
    finished.configure(CHAIN + EXECUTION.format(cluster.address))
    finished("ExportVersion", "--version", "4", "--max-regression", "1", check=0)
    (record,) = finished.records()
    assert 3 == record["comparison"]["baseline"]
    assert record["comparison"]["baseline_accuracy"] == record["comparison"]["accuracy"]


@pytest.mark.long
def test_a_network_of_ones_own_must_be_importable_there(cluster, run_luigi, tmp_path):
    """A worker that cannot import it says so in one line; one that can names the file and the line that raised."""
    (run_luigi.directory / "my_models.py").write_text(MY_MODELS)
    options = ("ExportVersion", "--version=1", "--dataset=small", "--training-iteration=20")
    env = {"PYTHONPATH": f"{ROOT}{os.pathsep}{run_luigi.directory}"}
    run_luigi.configure(EXECUTION.format(cluster.address))
    result = run_luigi(*options, "--model=broken", module="my_models", env=env, check=30)
    assert "cannot import what was registered: No module named 'my_models'; put that module on" in last_line(result)
    own = DaskProcesses(tmp_path / "own-dask")
    try:
        own.add_workers(1, env=env)
        run_luigi.configure(EXECUTION.format(own.address))
        result = run_luigi(*options, "--model=broken", module="my_models", env=env, check=30)
        assert "no_such_thing" in last_line(result)
        assert f"{run_luigi.directory}/my_models.py, line 12" in last_line(result)
        run_luigi(*options, "--model=mine", module="my_models", env=env, check=0)
    finally:
        own.close()


@pytest.mark.long
def test_ctrl_c_leaves_the_cluster_as_it_was(cluster, run_luigi):
    """The run ends at once, and the next one computes there."""
    run_luigi.configure(EXECUTION.format(cluster.address))
    options = ("--version=1", "--dataset=small", "--model=cnn", "--training-iteration=100000")
    process = run_luigi.start("ExportVersion", *options)
    while not list(run_luigi.directory.glob("work/training/*/1000")):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert 0 != process.returncode
    run_luigi("ExportVersion", "--version=2", "--dataset=small", "--training-iteration=20", check=0)
