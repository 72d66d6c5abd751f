"""Intervals and tests, held against published values and against scipy."""

import pytest

from tasks.versions.evidence import is_worse, mcnemar_p, wilson_interval


@pytest.mark.parametrize(
    ("correct", "total", "interval"),
    [  # R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_intervals_are_the_published_ones(correct, total, interval):
    """Wilson's interval without correction, to four digits."""
    assert pytest.approx(interval, abs=5e-5) == wilson_interval(correct, total)


@pytest.mark.parametrize("total", [1, 10_000])
def test_an_interval_stays_within_zero_and_one(total):
    """All wrong begins at 0 and all right ends at 1, and neither is called certain."""
    assert 0 == wilson_interval(0, total)[0] < wilson_interval(0, total)[1]
    assert wilson_interval(total, total)[0] < wilson_interval(total, total)[1] == 1


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        (0, 0, 1.0),
        (1, 1, 1.0),
        (0, 1, 1.0),
        (0, 5, 2 / 32),
        (5, 15, 0.04138946533203125),
        (2, 10, 79 / 2048),  # 2 * (1 + 12 + 66) / 2 ** 12
    ],
)
def test_p_is_counted(first, second, p):
    """Exact binomial probabilities, the same whichever version comes first."""
    assert pytest.approx(p, rel=1e-12) == mcnemar_p(first, second) == mcnemar_p(second, first)


@pytest.mark.parametrize(("first", "second"), [(0, 7), (88, 40), (3000, 3500), (20, 10_000)])
def test_scipy_says_the_same(first, second):
    """For counts as MNIST gives them, too; the smallest are told as zero."""
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(first, first + second).pvalue
    assert pytest.approx(expected, rel=1e-9, abs=1e-300) == mcnemar_p(first, second)


@pytest.mark.parametrize(
    ("here", "there", "level", "worse"),
    [
        (5, 15, 0.05, True),
        (15, 5, 0.05, False),  # better, as surely
        (6, 15, 0.05, False),
        (0, 5, 2 / 32, True),  # the level itself
        (5, 5, 1.0, False),
        (0, 3, 0.0, False),
    ],
)
def test_worse_is_fewer_right_and_no_chance(here, there, level, worse):
    """A version is worse where it gets fewer right and the two-sided p is at most the level."""
    assert worse is is_worse(here, there, level)
