"""Load a SavedModel into a graph and session of its own, and ask it."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tasks.errors import ExportFailed
from tasks.savedmodel.signatures import (
    CLASSIFY_SIGNATURE,
    PREDICT_SIGNATURE,
    TAGS,
    as_example,
    as_floats,
)
from tasks.savedmodel.tensorflow_errors import reason_of

tf1 = tf.compat.v1

BATCH = 1000  # images
AGREEMENT = 1e-5  # of a score


@dataclass(frozen=True)
class LoadedModel:
    """A SavedModel in a graph and session of its own."""

    directory: Path
    session: Any
    signatures: Mapping[str, Any]

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Scores float32 [n, 10] of images uint8 [n, 784] through `predict_images`, a thousand at a time."""
        signature = self.signatures[PREDICT_SIGNATURE]
        feed, fetch = signature.inputs["images"].name, signature.outputs["scores"].name
        batches = [
            self.session.run(fetch, {feed: as_floats(images[start : start + BATCH])})
            for start in range(0, len(images), BATCH)
        ]
        return np.concatenate(batches)

    def classify(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.object_], NDArray[np.float32]]:
        """Classes (bytes [n, 10]) and scores (float32 [n, 10]), best first, through `serving_default`."""
        signature = self.signatures[CLASSIFY_SIGNATURE]
        outputs = [signature.outputs["classes"].name, signature.outputs["scores"].name]
        classes, scores = self.session.run(
            outputs, {signature.inputs["inputs"].name: [as_example(image) for image in as_floats(images)]}
        )
        return classes, scores


@contextlib.contextmanager
def load_saved_model(
    directory: Path, required: Sequence[str] = (PREDICT_SIGNATURE, CLASSIFY_SIGNATURE)
) -> Iterator[LoadedModel]:
    """Load a SavedModel into a clean graph.

    Raises:
        ExportFailed: it does not load, or a required signature is missing.
    """
    graph = tf.Graph()
    with graph.as_default(), tf1.Session(graph=graph) as session:
        try:
            loaded = tf1.saved_model.loader.load(session, list(TAGS), str(directory))
        except (OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
            raise ExportFailed(f"{directory}: does not load as a SavedModel: {reason_of(error)}") from error
        signatures = dict(loaded.signature_def)
        missing = set(required) - set(signatures)
        if missing:
            raise ExportFailed(f"{directory}: signature {', '.join(sorted(missing))} is missing")
        yield LoadedModel(directory, session, signatures)


def check_agreement(model: LoadedModel, images: NDArray[np.uint8]) -> None:
    """Make sure that both signatures say the same about images uint8 [n, 784].

    Raises:
        ExportFailed: a score differs by more than 1e-5, or the classes are not ordered by their scores.
    """
    predicted = model.predict(images)  # (n, 10), by class
    classes, scores = model.classify(images)  # (n, 10), best first
    by_class = np.take_along_axis(predicted, classes.astype(np.int64), axis=1)
    difference = float(np.abs(by_class - scores).max())
    if not difference <= AGREEMENT or (np.diff(scores, axis=1) > 0).any():
        raise ExportFailed(
            f"{model.directory}: the two signatures disagree: scores differ by {difference:g}, allowed is {AGREEMENT:g}"
        )
