"""How good scores are."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Evaluation:
    """A model measured on one split.

    `accuracy` is a fraction of `examples`, `mean_loss` the mean cross-entropy in nats rounded to 6 digits, and
    `confusion_matrix[i][j]` counts the images of class i that were taken for class j.
    """

    examples: int
    accuracy: float
    mean_loss: float
    confusion_matrix: tuple[tuple[int, ...], ...]


def evaluate(scores: NDArray[np.float32], labels: NDArray[np.uint8]) -> Evaluation:
    """Measure scores float32 [n, 10] (each row a distribution) against labels uint8 [n].

    Raises:
        ValueError: a score is NaN or infinite, or a label has no score.
    """
    if not np.isfinite(scores).all():
        raise ValueError("a score is NaN or infinite")
    predicted = scores.argmax(axis=1)
    classes = scores.shape[1]
    if labels.max() >= classes:
        raise ValueError(f"it gives {classes} scores, and there are labels up to {labels.max()}")
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    right = scores[np.arange(len(labels)), labels].astype(np.float64)
    # by Python's math: NumPy's logarithm gives other last bits on other processors
    losses = [-math.log(score) for score in np.maximum(right, np.finfo(np.float32).tiny).tolist()]
    return Evaluation(
        examples=len(labels),
        accuracy=int(np.trace(confusion)) / len(labels),
        mean_loss=round(math.fsum(losses) / len(losses), 6),
        confusion_matrix=tuple(tuple(int(count) for count in row) for row in confusion),
    )
