"""A version that is followed to the servers: waited for, and compared in what it answers there."""

import shutil

import pytest

from tasks.errors import RolloutFailed
from tasks.serving.rollout import Rollout
from tests.serving.conftest import write_config


def test_a_version_is_waited_for_and_answers_as_it_did(rollout, base_path):
    """AVAILABLE after a while on both interfaces, with the scores that were exported."""
    rollout.wait_for(2, listed_since=0.0)
    rollout.replay(2, base_path / "2")
    assert ["1 AVAILABLE, 2 AVAILABLE"] * 2 == [line.split(": ", 1)[1] for line in rollout.describe()]


def test_other_scores_are_noticed(rollout, base_path):
    """A server that serves something else under that number does not pass, whichever interface is asked."""
    rollout.wait_for(1, listed_since=0.0)
    for one in rollout.servers:
        with pytest.raises(RolloutFailed, match="does not answer as when it was exported: the scores of"):
            Rollout("mnist", [one], 5.0).replay(1, base_path / "2")


def test_a_version_without_golden_requests_is_not_compared(rollout, base_path, caplog):
    """One that others made; nothing was compared, so nothing is claimed."""
    shutil.rmtree(base_path / "1" / "assets.extra" / "golden")
    with caplog.at_level("WARNING", "tasks"):
        rollout.replay(1, base_path / "1")
    assert f"{base_path / '1'} carries no golden requests: what the servers answer was not compared" in caplog.text


def test_a_version_that_the_server_does_not_know_is_not_confirmed(rollout):
    """The stated time passes, and the line says on which server."""
    hasty = Rollout("mnist", rollout.servers, 1.0)
    with pytest.raises(RolloutFailed, match=r"version 3 of mnist is not known there; given up after 1 s"):
        hasty.wait_for(3, listed_since=0.0)


def test_a_version_that_ends_is_told_in_the_servers_words(rollout, base_path, config_path):
    """A version that fails to load there fails the rollout at once."""
    (base_path / "4" / "saved_model.pb").write_bytes(b"garbage")
    write_config(config_path, base_path, 1, 2, 4)
    for one in rollout.servers:
        with pytest.raises(RolloutFailed, match=r"version 4 of mnist failed there: .*[Pp]arse"):
            Rollout("mnist", [one], 60.0).wait_for(4, listed_since=0.0)


def test_without_servers_the_stated_time_passes(monkeypatch):
    """Counted from when the file was written: what has been listed for long is not waited for."""
    slept = []
    monkeypatch.setattr("time.sleep", slept.append)
    monkeypatch.setattr("time.time", lambda: 1000.0)
    for listed_since in (1000.0, 990.0, 500.0):
        Rollout("mnist", (), 0.0, 30.0).wait_for(1, listed_since=listed_since)
    assert [30.0, 20.0] == slept
