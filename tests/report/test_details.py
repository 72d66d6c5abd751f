"""Recall, the images that set two versions apart, and reliability."""

import numpy as np
import pytest

from tasks.report.details import Apart, Bin, Recall, calibration_error, images_apart, recalls, reliability
from tasks.versions.evidence import wilson_interval

LABELS = np.array([3, 3, 5, 7, 7], np.uint8)


def answering(*answers):
    """Scores float32 [n, 10] of (class, score) for each image."""
    scores = np.zeros((len(answers), 10), np.float32)
    for row, (digit, score) in zip(scores, answers, strict=True):
        row[:] = (1 - score) / 9
        row[digit] = score
    return scores


def test_recall_by_class():
    """The share of a row that lies on the diagonal, for classes that have images."""
    matrix = [[0] * 10 for _ in range(10)]
    matrix[3][3], matrix[3][5], matrix[7][1] = 8, 2, 4
    assert [Recall(3, 8, 10, *wilson_interval(8, 10)), Recall(7, 0, 4, *wilson_interval(0, 4))] == recalls(matrix)


def test_images_that_set_two_versions_apart():
    """Both lists have the label and both answers; those come first of which the wrong one was most sure."""
    here = answering((3, 0.9), (5, 0.6), (5, 0.9), (1, 0.8), (9, 0.5))
    there = answering((3, 0.9), (3, 0.9), (6, 0.7), (7, 0.9), (9, 0.9))
    wrong_here, right_here = images_apart(here, there, LABELS)
    assert [Apart(3, 7, 1, 7), Apart(1, 3, 5, 3)] == wrong_here
    assert [Apart(2, 5, 5, 6)] == right_here


def test_reliability_by_score():
    """Images are put together by the score of their answer, in tenths; empty tenths are left out."""
    scores = answering((3, 0.95), (5, 0.92), (5, 0.92), (7, 0.55), (7, 1.0))
    assert [Bin(pytest.approx(0.55), 1, 1), Bin(pytest.approx(0.9475), 3, 4)] == reliability(scores, LABELS)
    assert [] == reliability(scores * 3, LABELS)


def test_calibration_error():
    """The mean over images of the distance between score and accuracy; nothing without images."""
    assert pytest.approx((4 * 0.15 + 0.45) / 5) == calibration_error([Bin(0.55, 1, 1), Bin(0.9, 3, 4)])
    assert 0 == calibration_error([])
