"""Version numbers and sets of them: what is read, what is written, and what is refused."""

import re

import pytest

from tasks.errors import InvalidParameter
from tasks.versions.numbers import format_versions, parse_version, parse_versions

LARGEST = 2**63 - 1
NO_VERSION = [
    "",
    "0",
    "-1",
    "a",
    "1.5",
    "01",
    "+1",
    " 1",
    "1e3",
    "\N{ARABIC-INDIC DIGIT ONE}",
    str(LARGEST + 1),
    "9" * 5000,
]


@pytest.mark.parametrize("version", [1, 10, 20170111173521, LARGEST])
def test_a_version_is_a_positive_int64(version):
    """Every number that TensorFlow Serving takes for a version, but zero, is one."""
    assert version == parse_version(str(version))


@pytest.mark.parametrize("text", NO_VERSION)
def test_what_is_no_version_is_refused(text):
    """The error names the text and the range of numbers that are allowed."""
    with pytest.raises(
        InvalidParameter, match=f"^version {text!r}: allowed are whole numbers from 1 to {LARGEST}$".replace("+", r"\+")
    ):
        parse_version(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", (1,)),
        ("1,2,3", (1, 2, 3)),
        ("3,1,2,1", (1, 2, 3)),
        (" 1 , 2 ", (1, 2)),
        ("1-10", tuple(range(1, 11))),
        ("1-3,7", (1, 2, 3, 7)),
        ("2-4,3-5", (2, 3, 4, 5)),
        ("5-5", (5,)),
        (str(LARGEST), (LARGEST,)),
        ("1-10000", tuple(range(1, 10001))),
        ("1-10000,5", tuple(range(1, 10001))),
        ("1,1-10000", tuple(range(1, 10001))),
    ],
)
def test_versions_are_read_sorted_and_unique(text, expected):
    """Numbers and ranges in any order, overlapping or not, are one sorted set of up to 10,000."""
    assert expected == parse_versions(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'' is not one"),
        ("0", "'0' is not one"),
        ("-1", "'-1' is not one"),
        ("a", "'a' is not one"),
        ("1,,2", "'' is not one"),
        ("1,", "'' is not one"),
        ("1.5", "'1.5' is not one"),
        (str(LARGEST + 1), f"'{LARGEST + 1}' is not one"),
        ("1-", "'1-' is not one"),
        ("1-2-3", "'1-2-3' is not one"),
        ("1;2", "'1;2' is not one"),
    ],
)
def test_what_are_no_versions_is_refused(text, reason):
    """The error names the whole text, the part that is wrong, and what is allowed."""
    allowed = f"allowed are positive whole numbers and ranges, such as 1,2,3 or 1-10 or 1-3,7, up to {LARGEST}"
    with pytest.raises(InvalidParameter, match=f"^{re.escape(f'versions {text!r}: {reason}; {allowed}')}$"):
        parse_versions(text)


def test_a_range_that_runs_backwards_is_refused():
    """A range from the larger to the smaller number is taken for a slip."""
    with pytest.raises(
        InvalidParameter, match=r"^versions '1,3-1': the range 3-1 runs backwards; allowed are positive"
    ):
        parse_versions("1,3-1")


@pytest.mark.parametrize("text", ["1-99999999", f"1-{LARGEST}", "1-10001", "1-10000,20000", "1-6000,7000-12000"])
def test_more_than_ten_thousand_versions_are_refused(text):
    """The limit is stated, and noticed before memory is filled with numbers."""
    with pytest.raises(InvalidParameter, match=f"^versions '{text}': more than 10,000 versions; that is the most in"):
        parse_versions(text)


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ((), ""),
        ((1,), "1"),
        ((1, 2), "1,2"),
        ((1, 2, 3), "1-3"),
        ((1, 2, 3, 7), "1-3,7"),
        ((1, 3, 4, 6, 7, 8), "1,3,4,6-8"),
    ],
)
def test_versions_are_written_in_the_shortest_form(versions, expected):
    """Three numbers and more in a row are a range."""
    assert expected == format_versions(versions)
