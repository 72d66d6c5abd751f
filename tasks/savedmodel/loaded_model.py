"""Load a SavedModel, and ask it; several can be loaded at once."""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tasks.errors import ExportFailed
from tasks.model.tensorflow_setup import in_this_thread
from tasks.savedmodel.cpp_loader import check_regular
from tasks.savedmodel.signatures import (
    CLASSIFY_SIGNATURE,
    PREDICT_SIGNATURE,
    TAGS,
    as_example,
    as_floats,
)
from tasks.savedmodel.tensorflow_errors import reason_of

tf1 = tf.compat.v1

BATCH_FLOATS = 784_000  # of the widest layer at once, 3 MB: a thousand images of the softmax, fewer of a wider network
AGREEMENT = 1e-5  # of a score


@dataclass(frozen=True)
class LoadedModel:
    """A SavedModel in a session of its own."""

    directory: Path
    session: Any
    signatures: Mapping[str, Any]
    batch: int = 1  # images that it is asked for at once

    def predictor(self) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """`predict_images` as a function: images float32 [n, 784] in [0, 1] -> scores float32 [n, 10]."""
        signature = self.signatures[PREDICT_SIGNATURE]
        return self.session.make_callable(signature.outputs["scores"].name, [signature.inputs["images"].name])

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Scores float32 [n, 10] of images uint8 [n, 784] through `predict_images`."""
        run = self.predictor()
        # reused: fresh memory costs time
        floats = np.empty((min(self.batch, len(images)), images.shape[1]), np.float32)
        batches = []
        for start in range(0, len(images), self.batch):
            chosen = images[start : start + self.batch]
            # copied: what TensorFlow returns would lie among what it frees, and keep that from being used again
            batches.append(run(as_floats(chosen, out=floats[: len(chosen)])).copy())
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
    """Load a SavedModel, and hold it for the block; its variables are its own, whatever else is loaded.

    Raises:
        ExportFailed: it does not load, or a required signature is missing.
    """
    check_regular(directory)
    try:
        path = directory / "saved_model.pb"
        graph = _graph_of(path.read_bytes() if path.is_file() else b"")
        session, signatures = graph.load(directory)
    except (OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
        _graph_of.cache_clear()
        raise ExportFailed(f"{directory}: does not load as a SavedModel: {reason_of(error)}") from error
    missing = set(required) - set(signatures)
    if missing:
        raise ExportFailed(f"{directory}: signature {', '.join(sorted(missing))} is missing")
    try:
        yield LoadedModel(directory, session, signatures, graph.batch)
    finally:
        graph.idle.append(session)


class _Graph:
    """The graph of SavedModels that differ in nothing but their variables, imported once a process.

    Variables live in sessions: each model that is loaded has one for itself until it is let go.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.graph = tf.Graph()
        self.idle: list[Any] = []
        self.meta_graph: Any = None
        self.batch = 1

    def load(self, directory: Path) -> tuple[Any, Mapping[str, Any]]:
        """A session with the variables of the SavedModel in `directory`, and its signatures."""
        if self.meta_graph is not None and not self._has_variables_alone():
            _graph_of.cache_clear()
            return _Graph(self.content).load(directory)
        session = self.idle.pop() if self.idle else tf1.Session(graph=self.graph, config=in_this_thread())
        if self.meta_graph is None:
            with self.graph.as_default():
                self.meta_graph = tf1.saved_model.loader.load(session, list(TAGS), str(directory))
            self.batch = max(1, BATCH_FLOATS // self._widest_layer())
        else:
            saver, prefix = self.meta_graph.saver_def, str(directory / "variables" / "variables")
            session.run(saver.restore_op_name, {saver.filename_tensor_name: prefix})
        return session, {name: type(found).FromString(found.SerializeToString()) for name, found in self._signatures()}

    def _signatures(self) -> Iterable[tuple[str, Any]]:
        return self.meta_graph.signature_def.items()

    def _widest_layer(self) -> int:
        """The most numbers that an operation gives for one image."""
        shapes = [out.shape.as_list() for op in self.graph.get_operations() for out in op.outputs if out.shape.rank]
        known = [math.prod(rest) for first, *rest in shapes if first is None and None not in rest]
        return max(known, default=1 << 12)

    def _has_variables_alone(self) -> bool:
        """Whether restoring variables is all that loading another one takes: no tables, no files, no own first step."""
        own_step = "__saved_model_init_op" in self.meta_graph.signature_def or self.graph.get_collection(
            "legacy_init_op"
        )
        if own_step or self.meta_graph.asset_file_def or not self.meta_graph.saver_def.restore_op_name:
            return False
        first = [self.graph.get_operation_by_name(op.name) for op in self.graph.get_collection("saved_model_main_op")]
        return all(op.type == "NoOp" and not op.control_inputs for op in first) and not self.graph.get_collection(
            tf1.GraphKeys.TABLE_INITIALIZERS
        )


_graph_of = lru_cache(maxsize=8)(_Graph)


def check_agreement(model: LoadedModel, images: NDArray[np.uint8], class_names: Sequence[str]) -> None:
    """Make sure that both signatures say the same about images uint8 [n, 784]; the names are in the scores' order.

    Raises:
        ExportFailed: a score differs by more than 1e-5, or the classes are not ordered by their scores.
    """
    predicted = model.predict(images)  # (n, 10), by class
    classes, scores = model.classify(images)  # (n, 10), best first
    numbers = {name.encode(): number for number, name in enumerate(class_names)}
    order = np.array([[numbers[name] for name in row] for row in classes])
    by_class = np.take_along_axis(predicted, order, axis=1)
    difference = float(np.abs(by_class - scores).max())
    if not difference <= AGREEMENT or (np.diff(scores, axis=1) > 0).any():
        raise ExportFailed(
            f"{model.directory}: the two signatures disagree: scores differ by {difference:g}, allowed is {AGREEMENT:g}"
        )
