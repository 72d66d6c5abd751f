"""JSON from other hands."""

import math

import pytest

from tasks.storage.json_text import parse_json


@pytest.mark.parametrize(
    "text", ['{"a": [1, -2.5e3, "x", null, true]}', b"[]", b"\xef\xbb\xbf[]", "9223372036854775807"]
)
def test_what_json_can_say_is_read(text):
    """Text or bytes, with a byte order mark or without."""
    assert parse_json(text) is not None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("[1e999]", "1e999 is no finite number"),
        ("[NaN]", "NaN is no finite number"),
        ("[-Infinity]", "-Infinity is no finite number"),
        ("9223372036854775808", "9223372036854775808 is too large a number"),
        ("1" * 5000, "11111111111111111111 is too large a number"),
        (b"\xff", "codec can't decode"),
        ("{", "Expecting property name"),
    ],
)
def test_anything_else_is_a_value_error(text, reason):
    """One kind of error, with its reason, however it is wrong."""
    with pytest.raises(ValueError, match=reason):
        parse_json(text)


def test_what_a_server_writes_may_be_no_number():
    """NaN and Infinity are let through where they are asked for; what is nested too deeply is not."""
    assert [math.inf, math.inf] == parse_json("[Infinity, 1e999]", finite=False)
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json("[" * 100_000, finite=False)
