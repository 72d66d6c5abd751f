"""Learning curves of trainings in segments."""

import pytest

from tasks.execution.curves import CURVE, Curve, read_curve, write_curve


@pytest.fixture
def training(tmp_path):
    """A training of 100 iterations in segments of 40, which was told of twice in each."""
    for start, stop in ((0, 40), (40, 80), (80, 100)):
        (tmp_path / str(stop)).mkdir()
        write_curve(tmp_path / str(stop), Curve(start, 1.5, [(start + 10, 0.5), (stop, 0.25)]))
    return tmp_path


def test_segments_make_one_curve(training):
    """Points come in the order of the iterations, and the time of the segments is added up."""
    points = ((10, 0.5), (40, 0.25), (50, 0.5), (80, 0.25), (90, 0.5), (100, 0.25))
    assert read_curve(training / "100") == Curve(0, 4.5, points)
    assert read_curve(training / "40") == Curve(0, 1.5, points[:2])


@pytest.mark.parametrize("content", [None, "", "[]", '{"start": 40}', '{"start": 99, "seconds": 1, "points": []}'])
def test_a_curve_begins_after_what_has_none(training, content):
    """A segment in the middle without a readable curve hides what was before it, and nothing else."""
    (training / "40" / CURVE).unlink()
    if content is not None:
        (training / "40" / CURVE).write_text(content)
    assert read_curve(training / "100").points == ((50, 0.5), (80, 0.25), (90, 0.5), (100, 0.25))


def test_no_curve_without_the_last_segment(training):
    """A training that is gone, or was made by an earlier release, has none."""
    assert read_curve(training / "200") is None
    (training / "100" / CURVE).unlink()
    assert read_curve(training / "100") is None


def test_nobody_waits_for_a_fifo(training, make_fifo):
    """In the place of a curve it hides what was before, as whatever cannot be read does."""
    make_fifo(training / "100" / CURVE)
    assert read_curve(training / "100") is None
