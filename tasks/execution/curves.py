"""The learning curve of a training: what the loss was while it ran, kept beside each segment's state.

When a point is recorded depends on how fast the machine is, so none of this is part of a state or of a version.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tasks.storage.files import read_regular
from tasks.storage.json_text import parse_json

CURVE = "curve.json"


@dataclass(frozen=True)
class Curve:
    """Points (iterations done, loss of the batch before), after iteration `start`; and how long that took."""

    start: int
    seconds: float
    points: Sequence[tuple[int, float]]


def write_curve(segment: Path, curve: Curve) -> None:
    """Put the curve of one segment beside its state."""
    (segment / CURVE).write_text(json.dumps(asdict(curve)) + "\n", encoding="utf-8")


def read_curve(segment: Path) -> Curve | None:
    """The curve of a whole training, of which this is the last segment.

    Segments of an earlier release have none: then the curve begins after the last of them, and where the last segment
    has none or is gone, there is no curve.
    """
    start, seconds, points = int(segment.name), 0.0, list[tuple[int, float]]()
    while start:
        try:
            found = Curve(**parse_json(read_regular(segment.with_name(str(start)) / CURVE)))
            more = [(int(done), float(loss)) for done, loss in found.points]
            before, took = int(found.start), float(found.seconds)
        except (OSError, ValueError, TypeError):
            break
        if not 0 <= before < start or took < 0 or not all(before <= done <= start for done, _ in more):
            break
        points[:0] = more
        start, seconds = before, seconds + took
    return Curve(start, seconds, tuple(points)) if points else None
