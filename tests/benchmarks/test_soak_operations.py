"""What a soak draws, and which ends it lets pass."""

import random
import signal
from collections import Counter

import pytest

from benchmarks.faults.place import Lost, Place
from benchmarks.soak.operations import OFTEN, Soak, check_struck

IMPORTING = """Traceback (most recent call last):
  File "luigi", line 3, in <module>
    from luigi.cmdline import luigi_run
KeyboardInterrupt
"""
RUNNING = """Traceback (most recent call last):
  File "release.py", line 3, in change
    served.edit()
KeyboardInterrupt
"""


@pytest.fixture
def soak(tmp_path):
    """A soak in a folder with two versions, and a bucket with another one."""
    for name in ("models/mnist/3", "models/mnist/11", "models/mnist/5.denied", "bucket/7"):
        (tmp_path / name).mkdir(parents=True)
    return Soak(Place(tmp_path), {}, 8082)


def test_a_seed_gives_the_same_operations_again(soak):
    """And another one others."""
    first, again, other = (
        [soak.draw(draw) for _ in range(sum(OFTEN.values()))] for draw in map(random.Random, (1, 1, 2))
    )
    assert first == again
    assert first != other


def test_a_round_has_every_operation_as_often_as_it_says(soak):
    """In some order; about half of them are struck."""
    draw = random.Random(0)
    drawn = [soak.draw(draw) for _ in range(sum(OFTEN.values()))]
    assert OFTEN == Counter(one.name for one in drawn)
    assert 5 < sum(one.who is not None for one in drawn) < 24


def test_versions_that_are_there_are_chosen(soak):
    """Promoted and quarantined is what the tree has, pulled and withdrawn what the bucket has."""
    draw = random.Random(0)
    drawn = [soak.draw(draw) for _ in range(10 * sum(OFTEN.values()))]
    chosen = {
        name: {one.command[one.command.index(option) + 1] for one in drawn if one.name == name}
        for name, option in (("promote", "--version"), ("quarantine", "--version"), ("pull", "--versions"))
    }
    assert {"promote": {"3", "11"}, "quarantine": {"3", "11"}, "pull": {"7"}} == chosen


def test_sets_end_with_the_last_version_that_is_known(soak):
    """Whatever is drawn, they are of the versions 1 to 12."""
    shares = [share / 20 for share in range(20)]
    sets = {soak.command("export a set", one, 0.0, other)[2] for one in shares for other in shares}
    assert {"1-1", "1-4", "9-12", "12-12"} <= sets
    assert {*range(1, 13)} == {int(number) for one in sets for number in one.split("-")}


@pytest.mark.parametrize(
    ("code", "told", "who"),
    [
        (-signal.SIGINT, IMPORTING, "Ctrl-C"),
        (-signal.SIGTERM, "", "SIGTERM"),
        (1, IMPORTING, "Ctrl-C"),
        (130, "stopped", "Ctrl-C"),
        (-signal.SIGKILL, "", "Luigi"),
        (30, "refused", "a child"),
    ],
)
def test_ends_that_pass(code, told, who):
    """Python's own while it imports, and those that are documented."""
    check_struck(code, told, who)


@pytest.mark.parametrize(
    ("code", "told", "who"),
    [
        (130, RUNNING, "Ctrl-C"),
        (-signal.SIGTERM, "", "a child"),
        (1, IMPORTING, "a child"),
        (40, "", "SIGTERM"),
        (-signal.SIGSEGV, "", "all"),
    ],
)
def test_ends_that_are_lost(code, told, who):
    """A traceback of a run, Python's own end where nobody asked for it, silence, a crash."""
    with pytest.raises(Lost):
        check_struck(code, told, who)
