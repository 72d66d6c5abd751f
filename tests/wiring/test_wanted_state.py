"""A task whose target is that something is so."""

import luigi
import pytest

from tasks.errors import BucketFailed
from tasks.wiring.wanted_state import WantedStateTask


class Hang(WantedStateTask):
    """A picture hangs on the wall."""

    wall = luigi.Parameter()
    pictures: set = set()  # noqa: RUF012 - of all walls

    def is_so(self):
        if self.wall == "fallen":
            raise BucketFailed("there is no wall")
        return self.wall in self.pictures

    def change(self):
        if self.wall == "fallen":
            raise BucketFailed("there is no wall")
        self.pictures.add(self.wall)
        return "1 picture hangs"


@pytest.fixture
def hang():
    """A task of a wall without a picture."""
    Hang.pictures.clear()
    return Hang(wall="north")


def test_it_is_done_whoever_did_it(hang):
    """What is so need not be made so."""
    assert not hang.complete()
    Hang.pictures.add("north")
    assert hang.complete()


def test_what_was_done_counts_once_whatever_became_of_it(hang):
    """Another process may undo it before Luigi looks; asked later, the task tells how things are."""
    hang.run()
    Hang.pictures.clear()
    assert hang.complete()
    assert not hang.complete()


def test_what_is_in_the_way_is_told_by_the_run():
    """A task that cannot find out is not done, and fails when it is run, instead of not being scheduled."""
    task = Hang(wall="fallen")
    assert not task.complete()
    with pytest.raises(BucketFailed, match="there is no wall"):
        task.run()


def test_it_is_done_each_time_unless_it_says_when_it_is_so():
    """Without a state of its own, only a run makes a task done."""
    assert not WantedStateTask().complete()
