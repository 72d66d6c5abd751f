"""Golden answers: what a version answered to a few requests when it was exported, and how far another answer differs.

They lie in `assets.extra/golden/`, so that anyone can find out whether what a server serves is what was exported:

    predict.json, classify.json                      requests that `curl -d @file` can send
    predict.expected.json, classify.expected.json    the answers, as the server's REST interface writes them
    answers.tfrecord                                 the same two as PredictionLogs, with request and response
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.storage.files import read_regular
from tasks.storage.json_text import parse_json

GOLDEN = Path("assets.extra", "golden")
ANSWERS = GOLDEN / "answers.tfrecord"
TOLERANCE = 1e-4  # of a score; other processors and thread counts differ in the last digits

Rows = Sequence[Mapping[str, float]]  # one for each image: class -> score


def read_golden(version_directory: Path) -> dict[str, tuple[dict[str, Any], Rows]]:
    """Kind of request -> request as REST takes it, and answer, where there; raises ValueError on an unreadable file."""
    golden = {}
    for kind in ("predict", "classify"):
        request, expected = (version_directory / GOLDEN / f"{kind}{end}.json" for end in ("", ".expected"))
        if request.exists() and expected.exists():
            try:
                found, scores = (parse_json(read_regular(path)) for path in (request, expected))
                golden[kind] = found, rows_of(scores)
            except (OSError, ValueError) as error:
                raise ValueError(f"{expected}: {error}") from error
    return golden


def rows_of(answer: Any) -> Rows:
    """The scores in a REST answer: predictions by number of the class, classifications by label; raises ValueError."""
    try:
        if "predictions" in answer:
            return [{str(number): float(score) for number, score in enumerate(row)} for row in answer["predictions"]]
        return [{str(label): float(score) for label, score in row} for row in answer["results"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no answer with scores ({type(error).__name__}: {error})") from error


def score_difference(expected: Rows, found: Rows) -> float:
    """By how much the worst score differs; infinite where images or classes differ, or a score is NaN."""
    if [set(row) for row in expected] != [set(row) for row in found]:
        return math.inf
    differences = [abs(row[name] - other[name]) for row, other in zip(expected, found, strict=True) for name in row]
    return math.inf if any(map(math.isnan, differences)) else max(differences, default=0.0)
