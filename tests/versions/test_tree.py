"""A version tree by its names alone; each fault of a name is also made in savedmodel/test_verification."""

import fcntl
import os

import pytest

from tasks.versions.tree import ERROR, NOTE, WARNING, find_versions, lint_names, served_names, version_number


@pytest.fixture
def base_path(tmp_path):
    """A folder with the entries `2/`, `10/`, `1.tmp/`, `v3/` and a file `notes`."""
    for name in ("2", "10", "1.tmp", "v3"):
        (tmp_path / name).mkdir()
    (tmp_path / "notes").write_text("mine")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("7", 7),
        ("007", 7),
        ("-1", -1),
        (" 7", 7),
        ("20170111173521", 20170111173521),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", None),
        ("v1", None),
        ("1.0", None),
        ("1.tmp", None),
        ("", None),
        ("+1", 1),
        ("+-1", None),
        ("+", None),
        ("1_000", None),
    ],
)
def test_names_are_read_as_the_server_reads_them(name, number):
    """Whatever parses as an int64 is a version."""
    assert version_number(name) == number


def test_versions_are_in_the_order_of_their_numbers(base_path):
    """10 comes after 2, and what the server does not see is left out."""
    assert list(served_names(base_path).items()) == [(2, "2"), (10, "10")]
    assert find_versions(base_path) == [2, 10]


def test_what_is_served_and_cannot_be_promoted_is_told_apart(base_path):
    """A file and another spelling of a number are versions to the server; only folders named N can be promoted."""
    (base_path / "7").write_text("")
    (base_path / "003").mkdir()
    assert served_names(base_path) == {2: "2", 3: "003", 7: "7", 10: "10"}
    assert find_versions(base_path) == [2, 10]


def test_of_two_entries_for_a_version_the_last_is_served(base_path):
    """`02` and `2` are one version; the server loads the entry whose name sorts last, and the other one is a fault."""
    (base_path / "02").mkdir()
    assert served_names(base_path)[2] == "2"
    assert [fault.name for fault in lint_names(base_path) if fault.severity == ERROR] == ["02"]


def test_a_folder_that_is_not_there_has_no_versions(tmp_path):
    """Nothing is served from a base path that is missing or a file, and that is one error."""
    (tmp_path / "file").write_text("")
    for missing in (tmp_path / "gone", tmp_path / "file"):
        assert (served_names(missing), find_versions(missing)) == ({}, [])
        assert [(fault.name, fault.severity) for fault in lint_names(missing)] == [("", ERROR)]


def test_entries_are_told_in_the_order_of_their_names(base_path):
    """What is left over is a warning, anything else that the server does not see a note; a good version is neither."""
    assert [(fault.name, fault.severity) for fault in lint_names(base_path)] == [
        ("1.tmp", WARNING),
        ("notes", NOTE),
        ("v3", NOTE),
    ]


def test_what_a_live_process_writes_is_not_left_over(tmp_path):
    """A folder whose lock is held is being written."""
    (tmp_path / "1").mkdir()
    aside = tmp_path / ".aside-3-0123abcd"
    aside.mkdir()
    handle = os.open(aside, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert [(fault.severity, fault.message) for fault in lint_names(tmp_path)] == [
        (NOTE, "is being written by a live process")
    ]
    os.close(handle)
