"""The first words of the page."""

import pytest

from tasks.report import headline
from tasks.versions.tree import ERROR, Fault
from tests.report.versions import compared, seen

BROKEN = [Fault("2", ERROR, "saved_model.pb is missing")]


@pytest.mark.parametrize(
    ("versions", "title"),
    [
        ((seen(1, range(30), labels=["stable"]), seen(2)), "Version 2 is better than version 1 (stable)"),
        ((seen(1, labels=["stable"]), seen(2, range(30))), "Version 2 is worse than version 1 (stable)"),
        ((seen(1, labels=["stable"]), seen(2, [1, 2])), "Version 2 and version 1 (stable) cannot be told apart"),
        ((seen(1), seen(2, range(30))), "Version 2 is worse than version 1"),
        ((seen(1),), "Version 1 stands alone"),
        ((seen(1), seen(2, measured=False, faults=BROKEN)), "Version 2 cannot be measured"),
        ((seen(1, name="1.denied", is_quarantined=True),), "No version is in service"),
    ],
)
def test_the_title_says_how_the_newest_does(versions, title):
    """Better, worse or neither, by the test's level; or why nothing can be said."""
    assert title == headline.title(compared(*versions))


def test_the_numbers_behind_it():
    """How many versions, what stable points at, and what a difference rests on."""
    found = compared(
        seen(1, range(9), labels=["stable"]),
        seen(2, [20]),
        seen(3, name="3.denied", is_quarantined=True),
        seen(4, [0, 30], made_elsewhere=True),
    )
    assert headline.sentences(found) == [
        "4 versions (1 quarantined, 1 made elsewhere). The label stable points at version 1.",
        "Version 4, the newest, gets 198 of 200 test images right.",
        (
            "That is 7 more than version 1: it alone gets 8 right, version 1 alone 1. Two equally good versions would "
            "differ by as much in 3.9 % of cases, so this is more than noise (exact McNemar, p = 0.039)."
        ),
    ]


def test_what_cannot_be_measured_is_told():
    """A newest version that is damaged is told with its fault, a stable one as such; nothing is compared."""
    told = headline.sentences(compared(seen(1, labels=["stable"]), seen(2, measured=False, faults=BROKEN)))
    assert [
        "2 versions (1 with errors). The label stable points at version 1.",
        "Version 2, the newest: saved_model.pb is missing.",
    ] == told
    told = headline.sentences(compared(seen(1, labels=["stable"], measured=False), seen(2)))
    assert told[0] == "2 versions. The label stable points at version 1, which cannot be measured."


def test_without_stable():
    """The first sentence says what the others are held against instead."""
    told = headline.sentences(compared(seen(1), seen(2)))[0]
    assert (
        told
        == "2 versions. The label stable points at none of them; each is held against version 1, before the newest."
    )
    assert headline.sentences(compared(seen(1)))[0] == "1 version. The label stable points at none of them."


@pytest.mark.parametrize(
    ("p", "told", "percent"),
    [(1e-9, "p < 0.0001", "less than 0.01 %"), (0.00012, "p = 0.00012", "0.012 %"), (1.0, "p = 1", "100 %")],
)
def test_how_p_is_told(p, told, percent):
    """With two digits, the smallest as a bound."""
    assert (told, percent) == (headline.p_value(p), headline.percent_of(p))
