"""Golden answers as files and as rows of scores, without TensorFlow."""

import json
import math
import subprocess
import sys

import pytest

from tasks.versions.golden import GOLDEN, TOLERANCE, read_golden, rows_of, score_difference
from tests.conftest import ROOT

ROWS = [{"0": 0.25, "1": 0.75}, {"0": 1.0, "1": 0.0}]


def test_predictions_and_results_become_the_same_rows():
    """Scores by the number of the class and scores by its label, in whatever order, are one form."""
    assert rows_of({"predictions": [[0.25, 0.75], [1, 0]]}) == ROWS
    assert rows_of({"results": [[["1", 0.75], ["0", 0.25]], [["0", 1], ["1", 0]]]}) == ROWS


@pytest.mark.parametrize(
    "answer",
    [{"error": "no such model"}, {"predictions": 5}, {"predictions": [0.5]}, {"results": [["1"]]}, [], None, "page",
     {"predictions": [["x"]]}],
)  # fmt: skip
def test_what_holds_no_scores_is_no_answer(answer):
    """An error, a page, a number: whatever is not rows of scores is a ValueError."""
    with pytest.raises(ValueError, match=r"^no answer with scores \("):
        rows_of(answer)


@pytest.mark.parametrize(
    ("found", "difference"),
    [
        (ROWS, 0.0),
        ([{"0": 0.25, "1": 0.5}, {"0": 0.875, "1": 0.0}], 0.25),
        (ROWS[:1], math.inf),
        ([], math.inf),
        ([{"0": 0.25, "2": 0.75}, ROWS[1]], math.inf),
        ([{"0": 0.25}, ROWS[1]], math.inf),
        ([{"0": 0.25, "1": math.nan}, ROWS[1]], math.inf),
        ([{"0": 0.25, "1": math.inf}, ROWS[1]], math.inf),
    ],
)
def test_the_worst_score_counts(found, difference):
    """Missing rows, other classes and NaN are no small difference, whichever side they are on."""
    assert score_difference(ROWS, found) == difference
    assert score_difference(found, ROWS) == difference


def test_no_rows_do_not_differ():
    """Nothing is as near to nothing as can be."""
    assert score_difference([], []) == 0.0


def test_what_an_export_wrote_is_read(exported):
    """Each kind of request has its body for REST and one row of ten scores for each of its images."""
    golden = read_golden(exported / "1")
    assert set(golden) == {"predict", "classify"}
    for request, rows in golden.values():
        assert len(rows) == len(request.get("instances") or request["examples"])
        assert all(set(row) == set("0123456789") for row in rows)
    assert score_difference(golden["predict"][1], golden["classify"][1]) <= TOLERANCE


def test_a_damaged_file_is_named(tree):
    """A file that cannot be read is a ValueError with its path; a missing one leaves its kind out."""
    path = tree / "1" / GOLDEN / "predict.expected.json"
    for content in (b'{"predictions": [[', b'{"error": "none"}', b"\xff"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"predict\.expected\.json: "):
            read_golden(tree / "1")
    path.unlink()
    assert set(read_golden(tree / "1")) == {"classify"}
    assert read_golden(tree / "none") == {}


def test_it_needs_the_standard_library_alone(exported):
    """Who asks a server for golden answers needs neither TensorFlow nor NumPy."""
    code = (
        "import json, sys; from pathlib import Path; from tasks.versions.golden import read_golden; "
        "read_golden(Path(sys.argv[1])); print(json.dumps(sorted({'tensorflow', 'numpy'} & set(sys.modules))))"
    )
    told = subprocess.run([sys.executable, "-c", code, exported / "1"], cwd=ROOT, capture_output=True, check=True)
    assert json.loads(told.stdout) == []


def test_nobody_waits_for_a_fifo(tmp_path, make_fifo):
    """A FIFO in the place of a request is an error at once."""
    (tmp_path / GOLDEN).mkdir(parents=True)
    (tmp_path / GOLDEN / "predict.expected.json").write_text("{}")
    make_fifo(tmp_path / GOLDEN / "predict.json")
    with pytest.raises(ValueError, match="Not a regular file"):
        read_golden(tmp_path)
