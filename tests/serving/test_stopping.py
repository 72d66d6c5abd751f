"""A promotion that is told to end while it waits for the servers."""

import os
import signal
import time

import pytest

from tasks.serving.config_file import read_config
from tests.conftest import kill_group
from tests.serving.conftest import write_config


@pytest.mark.parametrize(
    ("number", "workers"), [(signal.SIGTERM, 2), (signal.SIGHUP, 1), (signal.SIGHUP, 2)], ids=lambda one: str(int(one))
)
def test_a_promotion_that_is_stopped_puts_the_policy_back(run_luigi, base_path, config_path, number, workers):
    """Told so itself or through Luigi's process, it takes the version off that no label came to point at."""
    write_config(config_path, base_path, 1)
    before = read_config(config_path)
    wait = ("--wait-seconds=60", f"--workers={workers}")
    process = run_luigi.start("PromoteVersion", "--label=stable", "--version=2", *wait)
    try:
        while read_config(config_path) == before:
            assert None is process.poll(), process.communicate()
            time.sleep(0.05)
        time.sleep(0.3)  # it falls asleep
        os.kill(process.pid, number)
        _, err = process.communicate(timeout=30)
    finally:
        kill_group(process)
    assert 128 + number == process.returncode
    assert err.splitlines()[-1].startswith(f"WARNING: Stopped by {number.name} in PromoteVersion: ")
    assert before == read_config(config_path)


@pytest.mark.long
def test_the_next_promotion_says_what_a_killed_one_left(run_luigi, base_path, config_path):
    """Nobody could take its version off the policy; the next one does."""
    write_config(config_path, base_path, 1)
    before = read_config(config_path)
    process = run_luigi.start("PromoteVersion", "--label=stable", "--version=2", "--wait-seconds=60")
    try:
        while read_config(config_path) == before:
            assert None is process.poll(), process.communicate()
            time.sleep(0.05)
    finally:
        kill_group(process)
    result = run_luigi("PromoteVersion", "--label=stable", "--version=3", "--wait-seconds=0.01")
    assert "INFO: No longer loaded, as no label needs them: 1, 2" in result.stderr.splitlines()
    (model,) = read_config(config_path).model_config_list.config
    assert not {1, 2} & {*model.model_version_policy.specific.versions}
