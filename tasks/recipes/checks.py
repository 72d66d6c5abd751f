"""Checks of single values: each gives the value, be it handed in as a value or as its text, or says what is allowed."""

import math
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from tasks.errors import InvalidParameter

Value = str | int | float


@dataclass(frozen=True)
class Check:
    """`read` gives the value, or raises ValueError where it is not allowed; `allowed` says what is."""

    read: Callable[[Any], Value]
    allowed: Callable[[], str]
    names: Collection[str] = ()  # what is allowed, where it is one of some names

    def check_value(self, name: str, value: Any, where: str = "") -> Value:
        """The value of what is called `name`; raises InvalidParameter, whose text begins with `where`."""
        try:
            return self.read(value)
        except (TypeError, ValueError, OverflowError):
            allowed = f"{self.allowed()}{did_you_mean(value, self.names)}"
            raise InvalidParameter(f"{where}{name} = {value!r}: allowed is {allowed}") from None


def whole_number(low: int, high: int) -> Check:
    """Allow an int, or the text of one, from `low` to `high`."""

    def read(value: Any) -> int:
        text = str(value).strip()
        if isinstance(value, bool) or not re.fullmatch(r"[+-]?[0-9]{1,19}", text) or not low <= int(text) <= high:
            raise ValueError
        return int(text)

    return Check(read, lambda: f"a whole number from {low:,} to {high:,}")


def number(allowed: str, accept: Callable[[float], bool]) -> Check:
    """Allow a finite float, or the text of one, for which `accept` is true."""

    def read(value: Any) -> float:
        found = float(value)
        if not math.isfinite(found) or not accept(found):
            raise ValueError
        return found

    return Check(read, lambda: allowed)


def one_of(names: Collection[str]) -> Check:
    """Allow one of `names`, as they are when asked: more may be registered after this."""

    def read(value: Any) -> str:
        if value not in names:
            raise ValueError
        return str(value)

    return Check(read, lambda: "one of " + ", ".join(sorted(names)), names)


def did_you_mean(word: object, names: Iterable[str]) -> str:
    """The end of a sentence about a word that is none of the names: which of them it resembles, if any."""
    import difflib  # when something is mistyped, and only then

    likely = difflib.get_close_matches(str(word), list(names), n=1)
    return f"; did you mean {likely[0]}?" if likely else ""
