"""Version numbers and sets of them, as a person writes them: 7; 1,2,3; 1-10; 1-3,7."""

import re
from collections.abc import Sequence
from itertools import groupby

from tasks.errors import InvalidParameter

LARGEST_VERSION = 2**63 - 1  # TensorFlow Serving keeps version numbers as int64
MOST_VERSIONS = 10_000  # in one set
SHORTEST_RANGE = 3  # that is written as one
ALLOWED = "positive whole numbers and ranges, such as 1,2,3 or 1-10 or 1-3,7"


def parse_version(text: str) -> int:
    """Read one version number; raises InvalidParameter, for leading zeros too."""
    if not re.fullmatch(r"[1-9][0-9]*", text) or int(text[:20]) > LARGEST_VERSION:
        raise InvalidParameter(f"version {text!r}: allowed are whole numbers from 1 to {LARGEST_VERSION}")
    return int(text)


def parse_versions(text: str) -> tuple[int, ...]:
    """Read a set of versions; they come back sorted, each once. Raises InvalidParameter, for too many too."""
    versions: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        try:
            low = parse_version(first)
            high = parse_version(last) if dash else low
        except InvalidParameter:
            raise InvalidParameter(
                f"versions {text!r}: {part.strip()!r} is not one; allowed are {ALLOWED}, up to {LARGEST_VERSION}"
            ) from None
        if high < low:
            raise InvalidParameter(f"versions {text!r}: the range {part.strip()} runs backwards; allowed are {ALLOWED}")
        versions.update(range(low, min(high, low + MOST_VERSIONS) + 1))
        if len(versions) > MOST_VERSIONS:
            raise InvalidParameter(
                f"versions {text!r}: more than {MOST_VERSIONS:,} versions; that is the most in one run"
            )
    return tuple(sorted(versions))


def format_versions(versions: Sequence[int]) -> str:
    """Write sorted versions, longer runs as ranges: (1, 2, 3, 7, 8) -> '1-3,7,8'."""
    parts: list[str] = []
    for _, group in groupby(enumerate(versions), key=lambda pair: pair[1] - pair[0]):  # the same within a run
        run = [str(version) for _, version in group]
        parts += [f"{run[0]}-{run[-1]}"] if len(run) >= SHORTEST_RANGE else run
    return ",".join(parts)
