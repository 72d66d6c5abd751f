"""Several hosts with disks of their own, one scheduler and one bucket; one of them is killed."""

import time
from collections.abc import Callable

import pytest

from tasks import ExportVersion
from tests.conftest import CommandLine, kill_group, names_in, read_tree

VERSIONS = range(1, 13)
HOST = """
[recipe]
dataset = small
training_iteration = 2000
[training]
segment = 1000
[distribution]
bucket = {bucket}
[worker]
keep_alive = true
""" + "\n".join(f"[recipe.{version}]\nseed = {version}" for version in VERSIONS)
SCHEDULER = """
[scheduler]
worker_disconnect_delay = 4
prune_on_get_work = true
"""


def trained(host: CommandLine) -> list[int]:
    """The versions of which a host has trained a segment, by their seeds."""
    return sorted({int(record["parameters"]["seed"]) for record in host.records() if record["task"] == "TrainModel"})


def _wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "nothing is trained"
        time.sleep(0.02)


@pytest.mark.long
def test_three_hosts_make_each_version_once(tmp_path, mirror, luigid):
    """The killed one's version is made by another, all else by one host alone, and all trees are equal at the end."""
    (tmp_path / "luigi.cfg").write_text(SCHEDULER)
    (tmp_path / "bucket").mkdir()
    hosts = [CommandLine(tmp_path / name, mirror) for name in "abc"]
    for host in hosts:
        host.directory.mkdir()
        host.configure(HOST.format(bucket=tmp_path / "bucket"))
    command = ("ExportAllVersions", "--versions", "1-12", "--scheduler-port", luigid().port)
    victim, killed = hosts[2], hosts[2].start(*command, local_scheduler=False)
    runs = [killed]
    try:
        _wait_until(lambda: trained(victim))
        runs = [*(host.start(*command, local_scheduler=False) for host in hosts[:2]), killed]
        _wait_until(lambda: all(trained(host) for host in hosts))
        assert 12 > len(names_in(tmp_path / "bucket")), "the kill comes too late"
        assert killed.poll() is None
        kill_group(killed)
        results = [run.communicate(timeout=120) for run in runs[:2]]
        assert [0, 0] == [run.returncode for run in runs[:2]], results
    finally:
        for run in runs:
            kill_group(run)
    before = trained(victim)
    victim(*command, local_scheduler=False, check=0)
    assert before == trained(victim)  # what the others have made is pulled
    trees = [read_tree(host.base) for host in hosts]
    assert 12 == sum(name.endswith("saved_model.pb") for name in trees[0])
    assert trees[0] == trees[1] == trees[2] == read_tree(tmp_path / "bucket")
    twice = [version for version in VERSIONS if sum(version in trained(host) for host in hosts) != 1]
    assert all(version in before for version in twice)
    assert 1 >= len(twice)
    assert all(trained(host) for host in hosts)


def test_hosts_with_the_same_folders_have_task_ids_of_their_own(run_here, monkeypatch):
    """Two machines may both have /srv/models: what one has made must not count as done on the other's disk."""
    ids = set()
    for bucket in ("", "[distribution]\nbucket = /srv/bucket\n"):
        run_here.configure(bucket)
        for name in ("one", "two"):
            monkeypatch.setattr("socket.gethostname", lambda name=name: name)
            ids.add(ExportVersion(version=1, dataset="small").task_id)
    assert 3 == len(ids)  # without a bucket, the name of the machine does not count


@pytest.mark.long
def test_a_push_that_fails_publishes_nothing_here(run_luigi, tmp_path):
    """A version is in the bucket before it is in the tree; when the bucket is back, the training is not done again."""
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket" / "1").write_text("a file in the way")
    run_luigi.configure(HOST.format(bucket=tmp_path / "bucket").replace("keep_alive = true", ""))
    run_luigi("ExportVersion", "--version", "1", check=30)
    assert [] == names_in(run_luigi.base)
    (tmp_path / "bucket" / "1").unlink()
    run_luigi("ExportVersion", "--version", "1", check=0)
    assert read_tree(run_luigi.base) == read_tree(tmp_path / "bucket")
    assert 2 == len([record for record in run_luigi.records() if record["task"] == "TrainModel"])
