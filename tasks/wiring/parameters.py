"""Parameters that Luigi does not have: sets of versions, folders, checked numbers, and what a recipe completes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import luigi

from tasks.errors import InvalidParameter
from tasks.versions.wanted_version import LARGEST_VERSION

Value = str | int | float
Check = Callable[[Any], Value]  # gives the value; raises ValueError, whose text says what is allowed

MOST_VERSIONS = 10_000

ALLOWED = "positive whole numbers and ranges, such as 1,2,3 or 1-10 or 1-3,7"


class VersionParameter(luigi.Parameter):
    """One version number: 1 to 2^63 - 1, the range of TensorFlow Serving's int64 without zero."""

    def parse(self, x: str) -> int:
        """Read a decimal number."""
        return parse_version(x)

    def normalize(self, x: Any) -> int:
        """Accept a number as well as its text."""
        return parse_version(str(x))

    def _warn_on_wrong_param_type(self, param_name: str, param_value: Any) -> None:
        """Say nothing: `normalize` has made sure."""


class VersionsParameter(luigi.Parameter):
    """A set of versions: `1,2,3`, `1-10`, `1-3,7`; sorted, each once, 10,000 at most."""

    def parse(self, x: str) -> tuple[int, ...]:
        """Read numbers and ranges, separated by commas."""
        return parse_versions(x)

    def serialize(self, x: tuple[int, ...]) -> str:
        """Write them in the shortest form that `parse` reads."""
        return format_versions(x)

    def normalize(self, x: Any) -> tuple[int, ...]:
        """Accept a text, a number or any series of numbers; an empty series, the default, means not given."""
        if isinstance(x, str | int):
            return parse_versions(str(x))
        given = [str(version) for version in x]
        return parse_versions(",".join(given)) if given else ()

    def _warn_on_wrong_param_type(self, param_name: str, param_value: Any) -> None:
        """Say nothing: `normalize` has made sure."""


class FolderParameter(luigi.Parameter):
    """A folder as an absolute path: two projects on one scheduler then never share a task by accident."""

    def parse(self, x: str) -> str:
        """Make it absolute."""
        return absolute(x)

    def normalize(self, x: Any) -> str:
        """Accept a `Path` as well."""
        return absolute(os.fspath(x))

    def task_value(self, task_name: str, param_name: str) -> str:
        """Make defaults absolute too."""
        return absolute(super().task_value(task_name, param_name))


class ListOfStringsParameter(luigi.Parameter):
    """Texts separated by commas."""

    def parse(self, x: str) -> tuple[str, ...]:
        """Split at commas; empty parts are dropped."""
        return tuple(part.strip() for part in x.split(",") if part.strip())

    def serialize(self, x: tuple[str, ...]) -> str:
        """Join with commas."""
        return ",".join(x)

    def _warn_on_wrong_param_type(self, param_name: str, param_value: Any) -> None:
        """Say nothing: any series of texts will do."""


class CheckedParameter(luigi.Parameter):
    """A value that has to pass a check, be it given as text, as a number or in luigi.cfg."""

    def __init__(self, check: Check, default: Value, description: str, *, significant: bool = True) -> None:
        super().__init__(default=default, description=description, significant=significant)
        self._check = check

    def normalize(self, x: Any) -> Value:
        """Refuse what is not allowed, under the parameter's name."""
        return checked(self._attribute_name, self._check, x)

    def _warn_on_wrong_param_type(self, param_name: str, param_value: Any) -> None:
        """Say nothing: `normalize` has made sure."""


class RecipeParameter(luigi.Parameter):
    """A key of a recipe; None until `tasks.recipes` completes and checks it (it alone knows where from)."""

    def __init__(self, description: str, *, significant: bool = True) -> None:
        super().__init__(default=None, description=description, significant=significant, positional=False)

    def parse(self, x: str) -> str | None:
        """Keep the text; nothing means not given."""
        return x or None

    def serialize(self, x: Any) -> str:
        """Write it so that reading gives the same value."""
        return "" if x is None else str(x)

    def _warn_on_wrong_param_type(self, param_name: str, param_value: Any) -> None:
        """Say nothing: `tasks.recipes` checks."""


def checked(key: str, check: Check, value: Any, where: str = "") -> Value:
    """The value that a check makes of what was given; raises InvalidParameter."""
    try:
        return check(value)
    except ValueError as error:
        raise InvalidParameter(f"{where}{key} = {value!r}: allowed is {error}") from None


def parse_version(text: str) -> int:
    """Read one version number.

    Raises:
        InvalidParameter: not a decimal number from 1 to 2^63 - 1, or one with leading zeros.
    """
    if not re.fullmatch(r"[1-9][0-9]*", text) or int(text[:20]) > LARGEST_VERSION:
        raise InvalidParameter(f"version {text!r}: allowed are whole numbers from 1 to {LARGEST_VERSION}")
    return int(text)


def parse_versions(text: str) -> tuple[int, ...]:
    """Read a set of versions.

    Raises:
        InvalidParameter: empty, not a number or range, a range that runs backwards, or more than 10,000 versions.
    """
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


def format_versions(versions: tuple[int, ...]) -> str:
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


def absolute(folder: str) -> str:
    """The folder as an absolute path without `~`, `..` or a slash at its end; nothing stays nothing."""
    return os.path.abspath(Path(folder).expanduser()) if folder else ""  # noqa: PTH100 - resolve() would follow links
