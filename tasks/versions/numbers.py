"""Version numbers and sets of them, as a person writes them: 7; 1,2,3; 1-10; 1-3,7."""

import re
from collections.abc import Sequence

from tasks.errors import InvalidParameter

LARGEST_VERSION = 2**63 - 1  # TensorFlow Serving keeps version numbers as int64
MOST_VERSIONS = 10_000  # in one set
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
        if high - low < MOST_VERSIONS:
            versions.update(range(low, high + 1))
        if high - low >= MOST_VERSIONS or len(versions) > MOST_VERSIONS:
            raise InvalidParameter(
                f"versions {text!r}: more than {MOST_VERSIONS:,} versions; that is the most in one run"
            )
    return tuple(sorted(versions))


def format_versions(versions: Sequence[int]) -> str:
    """Write sorted versions, runs of three and more as ranges: (1, 2, 3, 7) -> '1-3,7'."""
    runs: list[list[int]] = []
    for version in versions:
        if runs and version == runs[-1][1] + 1:
            runs[-1][1] = version
        else:
            runs.append([version, version])
    return ",".join(
        str(low) if low == high else f"{low},{high}" if high == low + 1 else f"{low}-{high}" for low, high in runs
    )
