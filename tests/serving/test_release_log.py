"""The record of releases: lines that cannot be read, and a line without an end."""

import pytest

from tasks.errors import InvalidReleaseLog
from tests.serving.conftest import promote


@pytest.mark.parametrize("line", ["hello", "[1]", "{}", None])
def test_a_line_that_is_none_stops_everything(served, line):
    """The log is not guessed at: the line is named, and nothing changes."""
    promote(served, "stable", 1)
    line = line or served.log.path.read_text().strip().replace('"to": 1', '"to": "one"')
    with served.log.path.open("a") as stream:
        stream.write(f"{line}\n")
    with pytest.raises(InvalidReleaseLog, match=r"releases\.jsonl, line 2"):
        promote(served, "stable", 2)
    assert {"stable": 1} == served.labels()


def test_a_line_that_is_cut_short_is_mended(served):
    """What a machine that lost power left of a line goes: the move that it tells of had not begun."""
    promote(served, "stable", 1)
    content = served.log.path.read_bytes()
    served.log.path.write_bytes(content + b'{"when": "2026')
    assert [1] == [move.after for move in served.history()]
    with served.edit():
        assert content == served.log.path.read_bytes()
