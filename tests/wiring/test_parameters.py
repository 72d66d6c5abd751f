"""Parameters: what they read, what they write, and how they refuse."""

import re
from pathlib import Path

import luigi
import pytest

from tasks.errors import InvalidParameter
from tasks.wiring.parameters import (
    FolderParameter,
    ListOfStringsParameter,
    RecipeParameter,
    VersionParameter,
    VersionsParameter,
    absolute,
    format_versions,
    parse_version,
    parse_versions,
)

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


class Everything(luigi.Task):
    """A task with each kind of parameter."""

    version = VersionParameter()
    versions = VersionsParameter(default=())
    folder = FolderParameter(default="somewhere")
    texts = ListOfStringsParameter(default=())
    key = RecipeParameter("a key of a recipe")


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


@pytest.mark.parametrize("versions", [(1,), (1, 2), (1, 2, 3), (1, 3, 5, 6, 7, 9, 10, LARGEST), tuple(range(1, 10001))])
def test_versions_that_are_written_are_read_again(versions):
    """What `serialize` writes, `parse` reads: Luigi hands tasks to its workers this way."""
    parameter = VersionsParameter()
    assert versions == parameter.parse(parameter.serialize(versions))


@pytest.mark.parametrize("given", ["1-3", [3, 2, 1], (1, 2, 3), {1, 2, 3}, range(1, 4), ["1", "2", "3"]])
def test_versions_are_taken_in_any_form(given):
    """In a call, a text and any series of numbers are the same set, and make the same task."""
    assert Everything(version=1, versions="1,2,3").task_id == Everything(version=1, versions=given).task_id


def test_one_version_is_a_set():
    """A single number needs no comma."""
    assert (7,) == Everything(version=1, versions=7).versions


def test_no_versions_are_nothing():
    """Not given is not the same as a text that cannot be read."""
    assert () == Everything(version=1).versions


@pytest.mark.parametrize("given", [0, -1, 1.5, "a", None, True, LARGEST + 1])
def test_a_call_with_a_bad_version_is_refused(given):
    """Versions are checked in calls as on the command line."""
    with pytest.raises(InvalidParameter, match="allowed are whole numbers from 1"):
        Everything(version=given)
    with pytest.raises(InvalidParameter, match="allowed are positive whole numbers"):
        Everything(version=1, versions=[given])


@pytest.mark.filterwarnings("error")
def test_a_number_and_its_text_are_one_version():
    """`version=1` and `version='1'` make the same task, without a warning about types."""
    task = Everything(version="1")
    assert 1 == task.version
    assert Everything(version=1) is task


def test_folders_are_absolute(monkeypatch, tmp_path):
    """A folder given, a path and a default mean the same wherever a worker runs."""
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path / "somewhere") == Everything(version=1).folder
    assert str(tmp_path / "a") == Everything(version=1, folder="b/../a/").folder
    assert str(tmp_path / "a") == Everything(version=1, folder=Path("a")).folder
    assert str(tmp_path / "a") == FolderParameter().parse("a")


def test_the_home_folder_is_written_out(monkeypatch):
    """`~` is the user's home, as in a shell."""
    monkeypatch.setenv("HOME", "/home/somebody")
    assert "/home/somebody/models" == absolute("~/models")


def test_no_folder_stays_none():
    """Nothing is not the working directory."""
    assert "" == absolute("")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", ()), ("a", ("a",)), (" a , b ", ("a", "b")), ("a,,b,", ("a", "b")), ("/with blank/", ("/with blank/",))],
)
def test_texts_are_split_at_commas(text, expected):
    """Blanks around a comma and empty parts do not count, and what is written is read again."""
    parameter = ListOfStringsParameter()
    assert expected == parameter.parse(text)
    assert expected == parameter.parse(parameter.serialize(expected))


@pytest.mark.parametrize("value", [None, "cnn", 5, 0.1 + 0.2, 1e-300])
def test_a_key_that_is_written_is_read_again(value):
    """A recipe's value survives the way through text to the last bit; not given stays not given."""
    parameter = RecipeParameter("a key")
    found = parameter.parse(parameter.serialize(value))
    assert value == (None if value is None else type(value)(found))


@pytest.mark.parametrize("version", [1, LARGEST])
def test_a_version_that_is_written_is_read_again(version):
    """Luigi hands the number to its workers as text."""
    parameter = VersionParameter()
    assert version == parameter.parse(parameter.serialize(version))
