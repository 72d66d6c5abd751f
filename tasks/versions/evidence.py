"""Whether a difference between two versions is more than chance, and how sure an accuracy is.

Both are about images that were drawn once, and of which each was answered right or wrong. Two versions that were asked
about the same images are compared by those that one of them alone gets right (McNemar, Psychometrika 12, 1947): were
they equally good, each such image would be as likely the one's as the other's. Counted, not approximated.
"""

import math

Z = 1.959963984540054  # of the normal distribution, 95 % lie within so many standard deviations


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """The 95 % interval of an accuracy (E. B. Wilson, JASA 22, 1927), which stays within 0 and 1."""
    share, spread = correct / total, Z * Z / total
    middle = share + spread / 2
    half = Z * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Exact two-sided McNemar: how often equals would differ by so much or more, either way.

    Args:
        only_first: images that the first version alone gets right.
        only_second: images that the second one alone gets right.
    """
    total, ways, tail = only_first + only_second, 1, 0
    for count in range(min(only_first, only_second) + 1):
        tail += ways
        ways = ways * (total - count) // (count + 1)
    return min(1.0, 2 * tail / 2**total)


def is_worse(only_here: int, only_there: int, level: float) -> bool:
    """Whether a version is worse than the other at that level: it gets fewer right, and the two-sided p is no larger.

    Two-sided, so that the level is held against the very p that is shown and recorded; of equals, it calls at most
    `level / 2` worse.
    """
    return only_here < only_there and mcnemar_p(only_here, only_there) <= level
