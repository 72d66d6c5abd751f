"""The record of releases: lines that cannot be read, and a line without an end."""

import pytest

from tasks.errors import InvalidReleaseLog
from tasks.serving.release_log import Move, ReleaseLog
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


def make_move(version, **given):
    about = {"config": "models.config", "model": "mnist", "base_path": "/models/mnist", "label": None, "after": None}
    return Move(task="QuarantineVersion", **{**about, "before": version, "why": "bad\ndigits: \u2460", **given})


def test_moves_are_read_as_they_were_written(tmp_path):
    """One line for each, in their order, with the time at which they were written."""
    log = ReleaseLog(tmp_path)
    log.append([make_move(1), make_move(2)])
    log.append([make_move(3)])
    assert 3 == len(log.path.read_text().splitlines())
    moves = log.moves()
    assert [make_move(version, when=move.when) for version, move in enumerate(moves, 1)] == moves
    assert moves[0].when == moves[1].when < moves[2].when


def test_a_move_that_did_not_take_place_is_not_told(tmp_path):
    """The version that the last line takes away is still there: readers pass the line, and the next writer cuts it."""
    log = ReleaseLog(tmp_path)
    (tmp_path / "2").mkdir()
    log.append([make_move(1, base_path=str(tmp_path))])
    kept = log.path.read_bytes()
    log.append([make_move(2, base_path=str(tmp_path))])
    assert [1] == [move.before for move in log.moves()]
    with log.locked():
        assert kept == log.path.read_bytes()
