"""What others do while a change is made, and what fails half-way."""

import json

import pytest

from tasks.errors import ReleaseRefused, RolloutFailed, StorageFailed
from tasks.serving import promotion, quarantine, retirement
from tasks.serving.config_file import find_model, read_config
from tasks.serving.rollout import Rollout
from tests import disks


def promote(served, label, version, rollout=None, why=""):
    return promotion.promote(served, label, version, rollout or Rollout("mnist", (), 60.0), why=why)


def roll_back(served, label, rollout=None):
    return promotion.roll_back(served, label, rollout or Rollout("mnist", (), 60.0), why="")


def loaded(served):
    return list(find_model(read_config(served.config_path), served.base_path).model_version_policy.specific.versions)


def lines(served):
    """The log as it lies on the disk."""
    return [json.loads(line) for line in served.log.path.read_text().splitlines()]


class Meanwhile(Rollout):
    """Servers that are waited for as long as `what` takes."""

    def __init__(self, what):
        super().__init__("mnist", (), 60.0)
        object.__setattr__(self, "what", what)

    def wait_for(self, *_, **__):
        self.what()


def test_a_roll_back_refuses_a_label_that_went_and_came_back(served):
    """It points where it did, but what it would be rolled back to has changed."""
    promote(served, "stable", 1)
    promote(served, "stable", 2)

    def there_and_back():
        promote(served, "stable", 3)
        promote(served, "stable", 2)

    with pytest.raises(ReleaseRefused, match="was moved to 2 meanwhile"):
        roll_back(served, "stable", Meanwhile(there_and_back))
    assert {"stable": 2} == served.labels()


def test_two_roll_backs_at_once_go_back_once(served):
    """The one that comes second has nothing to do."""
    for version in (1, 2, 3):
        promote(served, "stable", version)
    assert [] == roll_back(served, "stable", Meanwhile(lambda: roll_back(served, "stable")))
    assert {"stable": 2} == served.labels()


def test_a_promotion_that_fails_brings_nothing_back_that_others_took_away(served):
    """A version that was quarantined or retired while it waited does not come back on the policy."""
    promote(served, "stable", 3)

    def fail():
        quarantine.quarantine(served, 4, force=False, why="")
        retirement.retire(served, 1, apply=True, why="")
        raise RolloutFailed("no")

    with pytest.raises(RolloutFailed):
        promote(served, "canary", 1, Meanwhile(fail))
    assert [2, 3] == loaded(served)
    assert quarantine.is_done(served, 4)


def test_a_promotion_that_fails_leaves_what_another_one_waits_for(served):
    """Only its own version goes; one that another promotion has listed meanwhile stays."""
    promote(served, "stable", 4)

    def fail():
        raise RolloutFailed("no")

    def fail_within():
        with pytest.raises(RolloutFailed):
            promote(served, "canary", 1, Meanwhile(fail))
        assert [2, 3, 4] == loaded(served)

    promote(served, "canary", 2, Meanwhile(fail_within))


def test_a_config_file_that_cannot_be_replaced_brings_the_version_back(served):
    """The file is a mount point: folder, label and log are as before."""
    promote(served, "stable", 4)
    before, logged = served.config_path.read_bytes(), lines(served)
    with disks.mounted_file(served.config_path), pytest.raises(OSError, match="busy"):
        quarantine.quarantine(served, 4, force=True, why="")
    assert (served.base_path / "4").is_dir()
    assert (before, logged) == (served.config_path.read_bytes(), lines(served))


def test_a_line_that_does_not_fit_on_the_disk_stops_the_move(served):
    """Part of a line is no line: told with the file's name; the label stays."""
    promote(served, "stable", 1)
    size = max(served.log.path.stat().st_size, served.config_path.stat().st_size)
    with disks.file_size_limit(size + 100), pytest.raises(StorageFailed, match=r"releases\.jsonl: File too large"):
        promote(served, "stable", 3, why="x" * 300)
    assert {"stable": 1} == served.labels()
    assert [1] == [move.after for move in served.history()]


def test_a_config_file_that_was_removed_by_hand_takes_no_line_along(served):
    """The move took place; that the label is gone since is told by a line of its own."""
    promote(served, "stable", 1)
    promote(served, "stable", 2)
    served.config_path.unlink()
    with served.edit() as edit:
        assert [1, 2, None] == [move.after for move in edit.history]
    assert [1, 2] == [line["to"] for line in lines(served)]
