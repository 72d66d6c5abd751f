"""JSON that others may have written: whatever is wrong with it is a ValueError, and numbers are ones to count with."""

import json
import math
from typing import Any

LARGEST = 2**63  # whole numbers stay below it


def parse_json(text: str | bytes, *, finite: bool = True) -> Any:
    """What a JSON text is; with `finite`, it holds neither NaN nor Infinity, nor what is too large for a float.

    Raises:
        ValueError: it is no JSON, no UTF-8, or nested too deeply; or a number is too large.
    """
    try:
        if not finite:
            return json.loads(text, parse_int=_whole)
        return json.loads(text, parse_int=_whole, parse_float=_float, parse_constant=_float)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def is_number(value: Any) -> bool:
    """Whether a value that was read is a number (true and false are none)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(digits: str) -> int:
    if len(digits) > 20 or abs(value := int(digits)) >= LARGEST:  # noqa: PLR2004 - int() refuses, or is slow for, more
        raise ValueError(f"{digits[:20]} is too large a number")
    return value


def _float(digits: str) -> float:
    if not math.isfinite(value := float(digits)):
        raise ValueError(f"{digits[:20]} is no finite number")
    return value
