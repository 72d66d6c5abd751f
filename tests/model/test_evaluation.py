"""Measuring scores, on numbers that can be checked by hand."""

import math

import numpy as np
import pytest

from tasks.model.evaluation import evaluate


def scores(*rows):
    """Rows of ten scores from {class: score}; what is left of 1 goes to class 9."""
    found = np.zeros((len(rows), 10), np.float32)
    for row, given in zip(found, rows, strict=True):
        for kind, score in given.items():
            row[kind] = score
        row[9] += 1 - row.sum()
    return found


def test_accuracy_loss_and_confusion():
    """Three of four right, the mean of their cross-entropies, and one 2 taken for a 9."""
    found = evaluate(scores({0: 0.5}, {1: 0.75}, {2: 0.25}, {9: 1.0}), np.array([0, 1, 2, 9], np.uint8))
    assert 4 == found.examples
    assert 0.75 == found.accuracy
    assert round(-(math.log(0.5) + math.log(0.75) + math.log(0.25)) / 4, 6) == found.mean_loss
    expected = np.zeros((10, 10), int)
    expected[0, 0] = expected[1, 1] = expected[9, 9] = expected[2, 9] = 1
    assert expected.tolist() == [list(row) for row in found.confusion_matrix]


def test_the_same_confusion_is_counted_each_time():
    """Images of one class that are all mistaken for one other add up."""
    found = evaluate(scores(*[{3: 1.0}] * 5), np.full(5, 8, np.uint8))
    assert 0.0 == found.accuracy
    assert 5 == found.confusion_matrix[8][3]


def test_a_score_of_zero_has_a_finite_loss():
    """The smallest normal float32 stands for zero."""
    found = evaluate(scores({0: 1.0}), np.array([1], np.uint8))
    assert round(-math.log(np.finfo(np.float32).tiny), 6) == found.mean_loss


def test_of_equal_scores_the_first_counts():
    """An untrained model that gives ten equal scores takes everything for a 0, with a loss of ln 10."""
    found = evaluate(np.full((10, 10), 0.1, np.float32), np.arange(10, dtype=np.uint8))
    assert 0.1 == found.accuracy
    assert round(math.log(10), 6) == pytest.approx(found.mean_loss, abs=1e-6)


def test_a_label_without_a_score_is_refused():
    """A model of fewer classes than the images have is not measured on them."""
    with pytest.raises(ValueError, match=r"^it gives 10 scores, and there are labels up to 25$"):
        evaluate(scores({0: 1.0}, {1: 1.0}), np.array([0, 25], np.uint8))


def test_there_are_as_many_classes_as_scores():
    """The confusion matrix has a row for each, whether or not an image is of that class."""
    assert (3, 3) == np.shape(evaluate(np.eye(3, dtype=np.float32), np.array([0, 1, 1], np.uint8)).confusion_matrix)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_are_refused(bad):
    """A NaN or infinite score is never measured."""
    given = scores({0: 1.0}, {1: 1.0})
    given[1, 4] = bad
    with pytest.raises(ValueError, match=r"^a score is NaN or infinite$"):
        evaluate(given, np.array([0, 1], np.uint8))
