"""A label that moves: what is waited for, what is refused, and what a promotion that fails leaves."""

import os
import shutil
import time

import pytest

from tasks.errors import ReleaseRefused, RolloutFailed
from tasks.serving import promotion, quarantine
from tasks.serving.config_file import read_config
from tasks.serving.rollout import Rollout
from tests.serving.conftest import loaded, promote, roll_back, serve


def test_no_other_version_is_loaded_while_somebody_waits(served):
    """Before the label is moved, the policy gets its version alone: another one that fails cannot hold it up."""
    promote(served, "stable", 1)

    class Watching(Rollout):
        def wait_for(self, *_, **__):
            assert [1, 2, 3, 4] == loaded(served)

    assert [1, 3, 4] == loaded(served)
    promote(served, "stable", 2, Watching("mnist", (), 0.0))
    assert [1, 2, 4] == loaded(served)


def test_where_a_label_came_from_stays_loaded(served):
    """It counts first of those that are kept loaded without a label, and the newest come after it."""
    for version in (1, 2, 3):
        promote(served, "stable", version)
    assert [2, 3, 4] == loaded(served)
    promote(served, "canary", 4)
    assert [2, 3, 4] == loaded(served)


@pytest.mark.parametrize("keep_loaded", [0, 1, 2])
def test_a_roll_back_adds_nothing_but_its_target(base_path, config_path, keep_loaded):
    """Whatever newer versions are there, and whether they pass verification or not: they are not even looked at."""
    (base_path / "4").rename(base_path / "later")
    (base_path / "3").rename(base_path / "later-3")
    served = serve(config_path, base_path, keep_loaded=keep_loaded)
    promote(served, "stable", 1)
    promote(served, "stable", 2)
    before = loaded(served)
    (base_path / "later").rename(base_path / "4")
    (base_path / "later-3").rename(base_path / "3")
    asked = []
    roll_back(serve(config_path, base_path, keep_loaded=keep_loaded, verdict=asked.append), "stable")
    assert {"stable": 1} == served.labels()
    assert sorted({*before, 1}) == loaded(served)
    assert [1] == asked


def test_a_promotion_refuses_what_changed_while_it_waited(served):
    """Somebody else moved the label: it stays where they put it; who put it there too has done what was asked for."""
    promote(served, "stable", 1)

    class Promoting(Rollout):
        def wait_for(self, *_, **__):
            promote(served, "stable", self.wait_seconds)

    with pytest.raises(ReleaseRefused, match="was moved to 4 meanwhile"):
        promote(served, "stable", 2, Promoting("mnist", (), 0.0, 4))
    assert {"stable": 4} == served.labels()
    assert [] == promote(served, "stable", 2, Promoting("mnist", (), 0.0, 2))
    assert {"stable": 2} == served.labels()


def test_a_version_that_others_take_off_the_policy_is_listed_again(served):
    """Another promotion drops what it does not need: the one that waits starts over, and ends as it was asked to."""
    waits = []

    class Dropping(Rollout):
        def wait_for(self, *_, **__):
            waits.append(loaded(served))
            if len(waits) == 1:
                promote(served, "canary", 3)
                assert 1 not in loaded(served)

    promote(served, "stable", 1, Dropping("mnist", (), 60.0))
    assert [[1], [1, 3, 4]] == waits
    assert ({"canary": 3, "stable": 1}, [1, 3, 4]) == (served.labels(), loaded(served))


def test_a_promotion_that_is_undone_again_and_again_gives_up(served):
    """It starts over for as long as it would wait for a server."""

    class Dropping(Rollout):
        def wait_for(self, *_, **__):
            promote(served, "canary", 3)

    with pytest.raises(RolloutFailed, match="version 1 is taken off the policy by others, again and again"):
        promote(served, "stable", 1, Dropping("mnist", (), 0.0))
    assert {"canary": 3} == served.labels()


def test_the_file_is_read_once_under_each_lock(served, monkeypatch):
    """A promotion looks at the config three times under the lock: what to do, the policy, the label; once without."""
    reads = []
    monkeypatch.setattr("tasks.serving.transaction.read_config", lambda path: reads.append(path) or read_config(path))
    promote(served, "stable", 1)
    assert 4 == len(reads)


def test_rolling_back_twice_goes_back_once(served):
    """A roll-back that is asked for again, by a scheduler that retries, changes nothing."""
    for version in (1, 2, 3):
        promote(served, "stable", version)
    assert 1 == len(roll_back(served, "stable"))
    assert [] == roll_back(served, "stable")
    assert {"stable": 2} == served.labels()


def test_there_is_nothing_before_the_first_promotion(served):
    """A label that never pointed elsewhere cannot be rolled back."""
    promote(served, "stable", 1)
    with pytest.raises(ReleaseRefused, match="pointed at nothing before"):
        roll_back(served, "stable")
    assert {"stable": 1} == served.labels()


def test_a_roll_back_refuses_what_changed_while_it_waited(served):
    """Somebody else promoted meanwhile: the label stays where they put it."""
    promote(served, "stable", 1)
    promote(served, "stable", 2)

    class Promoting(Rollout):
        def wait_for(self, *_, **__):
            promote(served, "stable", 4)

    with pytest.raises(ReleaseRefused, match="was moved to 4 meanwhile"):
        promotion.roll_back(served, "stable", Promoting("mnist", (), 0.0), why="")
    assert {"stable": 4} == served.labels()


@pytest.mark.parametrize("policy", ["", "latest { num_versions: 3 }", "specific { versions: 2 }", "all { }"])
def test_a_promotion_that_fails_leaves_the_policy_as_it_was(served, policy):
    """A server that does not get the version to work: the file says what it said, and no line tells of a move."""
    choice = f"model_version_policy {{ {policy} }}" if policy else ""
    served.config_path.write_text(
        f'model_config_list {{ config {{ name: "mnist" base_path: "{served.base_path}" {choice} }} }}'
    )
    before = read_config(served.config_path)

    class Failing(Rollout):
        def wait_for(self, *_, **__):
            assert (read_config(served.config_path) != before) == (policy != "all { }")
            raise RolloutFailed("no")

    with pytest.raises(RolloutFailed):
        promote(served, "stable", 1, Failing("mnist", (), 0.0))
    assert before == read_config(served.config_path)
    assert not served.log.path.exists()


def test_what_got_a_label_meanwhile_stays_loaded_when_a_promotion_fails(served):
    """The policy goes back to what it was, but for the versions that labels point at now."""
    promote(served, "stable", 4)

    class Failing(Rollout):
        def wait_for(self, *_, **__):
            promote(served, "canary", 2)
            raise RolloutFailed("no")

    with pytest.raises(RolloutFailed):
        promote(served, "stable", 1, Failing("mnist", (), 0.0))
    assert ({"canary": 2, "stable": 4}, [2, 3, 4]) == (served.labels(), loaded(served))


def test_a_refusal_leaves_every_byte(served):
    """What is refused before anything is written, and a server that is down, leave comments and all."""
    served.config_path.write_text(
        "# by hand\n" + f'model_config_list {{ config {{ name: "mnist" base_path: "{served.base_path}" }} }}'
    )
    before = served.config_path.read_bytes()

    class Silent(Rollout):
        def look(self):
            raise RolloutFailed("no")

    for failing, version, error in ((Silent("mnist", (), 0.0), 1, RolloutFailed), (None, 9, ReleaseRefused)):
        with pytest.raises(error):
            promote(served, "stable", version, failing)
    assert before == served.config_path.read_bytes()
    assert not list(served.config_path.parent.glob("*.by-hand"))


def test_a_version_that_is_newer_than_its_line_in_the_policy_is_waited_for(served):
    """A policy of all versions is old when a new one comes: the servers' time counts from when that could be seen."""
    served.config_path.write_text(
        f'model_config_list {{ config {{ name: "mnist" base_path: "{served.base_path}" '
        "model_version_policy { all { } } } }"
    )
    os.utime(served.config_path, (1, 1))
    (served.base_path / "4").rename(served.base_path / "4.denied")
    before = time.time() - 1
    (served.base_path / "4.denied").rename(served.base_path / "4")
    since = []

    class Watching(Rollout):
        def wait_for(self, *_, listed_since, **__):
            since.append(listed_since)

    promote(served, "stable", 4, Watching("mnist", (), 0.0))
    assert since[0] >= before


def test_a_first_promotion_that_fails_leaves_no_label(served):
    """Where there was no config file, there is one with the model and nothing of the promotion."""

    class Failing(Rollout):
        def wait_for(self, *_, **__):
            raise RolloutFailed("no")

    with pytest.raises(RolloutFailed):
        promote(served, "stable", 1, Failing("mnist", (), 0.0))
    assert ({}, []) == (served.labels(), loaded(served))


def test_a_label_on_a_version_that_is_gone_is_named(served, caplog):
    """The server may refuse the whole file for it; another label can be moved all the same."""
    promote(served, "canary", 1)
    shutil.rmtree(served.base_path / "1")
    with caplog.at_level("WARNING", "tasks"):
        promote(served, "stable", 2)
    assert "label canary points at version 1, which is gone" in caplog.text
    assert {"canary": 1, "stable": 2} == served.labels()


def test_a_version_that_goes_meanwhile_gets_no_label(served):
    """Quarantined while the promotion waited: refused."""

    class Quarantining(Rollout):
        def wait_for(self, *_, **__):
            quarantine.quarantine(served, 1, force=False, why="")

    with pytest.raises(ReleaseRefused, match="has gone meanwhile"):
        promote(served, "stable", 1, Quarantining("mnist", (), 0.0))
    assert {} == served.labels()


def test_the_log_says_where_a_label_came_from(served, caplog):
    """The first time it is set, and afterwards it is moved."""
    with caplog.at_level("DEBUG", "tasks"):
        promote(served, "stable", 1)
        promote(served, "stable", 2)
    assert "Label stable of mnist: set to 1" in caplog.text
    assert "Label stable of mnist: from version 1 to 2" in caplog.text
