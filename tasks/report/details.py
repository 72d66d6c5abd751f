"""What lies behind one accuracy: recall by class, the images that set versions apart, whether the scores are true."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.report.rows import is_distribution
from tasks.versions.evidence import wilson_interval

BINS = 10


@dataclass(frozen=True)
class Recall:
    """Of the images of one class, how many were taken for it; with the 95 % interval."""

    label: int
    correct: int
    images: int
    low: float
    high: float


@dataclass(frozen=True)
class Apart:
    """An image that one of two versions alone gets right: its place in the split, and the three answers."""

    index: int
    label: int
    here: int
    there: int


@dataclass(frozen=True)
class Bin:
    """Images that were answered with about the same score: the mean of it, and how many of them were right."""

    score: float
    correct: int
    images: int


def recalls(confusion_matrix: Sequence[Sequence[int]]) -> list[Recall]:
    """One for each class that has images."""
    found = [(label, row[label], sum(row)) for label, row in enumerate(confusion_matrix)]
    return [
        Recall(label, correct, images, *wilson_interval(correct, images)) for label, correct, images in found if images
    ]


def images_apart(
    here: NDArray[np.float32], there: NDArray[np.float32], labels: NDArray[np.uint8]
) -> tuple[list[Apart], list[Apart]]:
    """The images that the version here gets wrong and the one there right, and the other way round.

    Those come first of which the one that is wrong was most sure.

    Args:
        here: scores float32 [n, 10].
        there: those of the other version.
        labels: uint8 [n].
    """

    def listed(wrong: NDArray[np.float32], right: NDArray[np.float32]) -> list[Apart]:
        chosen = np.flatnonzero((answers(wrong) != labels) & (answers(right) == labels))
        surest = chosen[np.argsort(-wrong[chosen].max(axis=1), kind="stable")]
        return [Apart(int(i), int(labels[i]), int(here[i].argmax()), int(there[i].argmax())) for i in surest]

    return listed(here, there), listed(there, here)


def answers(scores: NDArray[np.float32]) -> NDArray[np.intp]:
    """The class with the highest score, for each image."""
    return scores.argmax(axis=1)


def reliability(scores: NDArray[np.float32], labels: NDArray[np.uint8]) -> list[Bin]:
    """Images by the score of their answer, in ten equal steps; empty where scores are no probabilities."""
    if not is_distribution(scores):
        return []
    given, is_right = scores.max(axis=1).astype(np.float64), answers(scores) == labels
    places = np.minimum((given * BINS).astype(int), BINS - 1)
    bins = [places == place for place in range(BINS)]
    return [Bin(float(given[one].mean()), int(is_right[one].sum()), int(one.sum())) for one in bins if one.any()]


def calibration_error(bins: Sequence[Bin]) -> float:
    """By how much score and accuracy differ, as the mean over images (ECE)."""
    images = sum(one.images for one in bins)
    return sum(abs(one.score * one.images - one.correct) for one in bins) / images if images else 0.0
