"""What a SavedModel answers to many images, and how long a request takes; made by whomever."""

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.errors import ExportFailed
from tasks.savedmodel.loaded_model import load_saved_model
from tasks.savedmodel.signatures import PREDICT_SIGNATURE, as_floats

BATCHES = (1, 128)  # images in a request: one user's, and a full batch of the server's
UNTIMED = 3  # first requests of a session plan and allocate
LEAST, MOST, SECONDS = 5, 200, 0.3  # requests that are timed, and for how long at most


def ask(
    directory: Path, images: Mapping[str, NDArray[np.uint8]], *, classes: int, timed: NDArray[np.uint8] | None = None
) -> tuple[dict[str, NDArray[np.float32]], dict[int, float]]:
    """Ask a SavedModel about images uint8 [n, 784] of each split, and time requests with some of `timed`, if given.

    Returns:
        Split -> scores float32 [n, 10], and images in a request -> the median of its seconds.

    Raises:
        ExportFailed: it does not load, has no `predict_images`, or answers with other than one finite score a class.
    """
    with load_saved_model(directory, [PREDICT_SIGNATURE]) as model:
        predict, scores = model.predictor(), {}
        for split, asked in images.items():
            scores[split] = model.predict(asked)
            if scores[split].shape != (len(asked), classes) or not np.isfinite(scores[split]).all():
                raise ExportFailed(f"{directory}: its answers are not {classes} finite scores for each image")
        if timed is None:
            return scores, {}
        floats = as_floats(np.resize(timed, (max(BATCHES), timed.shape[1])))
        return scores, {batch: _median_seconds(predict, floats[:batch]) for batch in BATCHES}


def _median_seconds(
    predict: Callable[[NDArray[np.float32]], NDArray[np.float32]], request: NDArray[np.float32]
) -> float:
    for _ in range(UNTIMED):
        predict(request)
    times, until = list[float](), time.perf_counter() + SECONDS
    while len(times) < LEAST or (len(times) < MOST and time.perf_counter() < until):
        began = time.perf_counter()
        predict(request)
        times.append(time.perf_counter() - began)
    return statistics.median(times)
