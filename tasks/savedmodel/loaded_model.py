"""Write a SavedModel with the tutorial's two signatures, load it again, and ask it.

The signatures are those of TensorFlow Serving's `mnist_saved_model.py`, so that the clients of the tutorial work
unchanged: `predict_images` (images -> scores) and `serving_default` (tf.Example -> classes, scores).
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tasks.errors import ExportFailed

tf1 = tf.compat.v1

PIXELS = 784
CLASS_NAMES = tuple(str(digit) for digit in range(10))
TAGS = ("serve",)
PREDICT_SIGNATURE = "predict_images"
CLASSIFY_SIGNATURE = "serving_default"
FEATURE = "x"
BATCH = 1000
AGREEMENT = 1e-5

Scores = Callable[[tf.Tensor, Callable[..., tf.Tensor]], tf.Tensor]


def write_saved_model(directory: Path, scores: Scores, weights: Mapping[str, NDArray[np.float32]]) -> None:
    """Write the inference graph of a model and its weights as a SavedModel.

    Args:
        directory: empty.
        scores: maps images float32 [n, 784] in [0, 1], and a function from a weight's name and shape to the
            weight, to scores float32 [n, 10].
        weights: what that function hands out.

    Raises:
        ExportFailed: TensorFlow could not write it.
        OSError: the disk is full.
    """
    graph = tf.Graph()
    with graph.as_default(), tf1.Session(graph=graph) as session:
        variables: dict[str, tf.Variable] = {}

        def weight(name: str, shape: Sequence[int], fan_in: int = 0) -> tf.Variable:  # noqa: ARG001 - as in training
            if name not in variables:
                variables[name] = tf1.get_variable(
                    name, shape, tf.float32, initializer=tf1.zeros_initializer(), use_resource=True
                )
            return variables[name]

        examples = tf1.placeholder(tf.string, [None], "tf_example")
        parsed = tf.io.parse_example(examples, {FEATURE: tf.io.FixedLenFeature([PIXELS], tf.float32)})
        images = tf.identity(parsed[FEATURE], "images")  # predict feeds this tensor, so one network serves both
        image_scores = tf.identity(scores(images, weight), "scores")
        best, order = tf.math.top_k(image_scores, len(CLASS_NAMES))
        classes = tf.gather(tf.constant(CLASS_NAMES), order)
        session.run(
            [variable.initializer for variable in variables.values()],
            {variable.initializer.inputs[1]: weights[name] for name, variable in variables.items()},
        )
        _write(
            directory,
            session,
            {
                PREDICT_SIGNATURE: _predict_signature(images, image_scores),
                CLASSIFY_SIGNATURE: _classify_signature(examples, classes, best),
            },
        )
    if not (directory / "variables" / "variables.index").is_file():
        raise ExportFailed(f"{directory}: TensorFlow wrote no variables/variables.index")


def _predict_signature(images: tf.Tensor, scores: tf.Tensor) -> Any:
    return tf1.saved_model.build_signature_def(
        inputs={"images": tf1.saved_model.build_tensor_info(images)},
        outputs={"scores": tf1.saved_model.build_tensor_info(scores)},
        method_name=tf.saved_model.PREDICT_METHOD_NAME,
    )


def _classify_signature(examples: tf.Tensor, classes: tf.Tensor, scores: tf.Tensor) -> Any:
    return tf1.saved_model.build_signature_def(
        inputs={tf.saved_model.CLASSIFY_INPUTS: tf1.saved_model.build_tensor_info(examples)},
        outputs={
            tf.saved_model.CLASSIFY_OUTPUT_CLASSES: tf1.saved_model.build_tensor_info(classes),
            tf.saved_model.CLASSIFY_OUTPUT_SCORES: tf1.saved_model.build_tensor_info(scores),
        },
        method_name=tf.saved_model.CLASSIFY_METHOD_NAME,
    )


def _write(directory: Path, session: Any, signatures: Mapping[str, Any]) -> None:
    builder = tf1.saved_model.builder.SavedModelBuilder(str(directory))
    with writing(directory):
        builder.add_meta_graph_and_variables(
            session,
            list(TAGS),
            signature_def_map=signatures,
            main_op=tf1.tables_initializer(),
            strip_default_attrs=True,
        )
        builder.save()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Let TensorFlow write at `path` in the block, and tell what it fails at as others do.

    Raises:
        OSError: the disk is full.
        ExportFailed: anything else.
    """
    try:
        yield
    except tf.errors.OpError as error:
        reason = os.strerror(errno.ENOSPC)
        if reason in error.message:  # in the middle of a dozen lines about the graph
            raise OSError(errno.ENOSPC, reason, str(path)) from error
        raise ExportFailed(f"{path}: {reason_of(error)}") from error


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

    def describe_signatures(self) -> dict[str, Any]:
        """See `describe_signatures`."""
        return describe_signatures(self.signatures)


def describe_signatures(signatures: Mapping[str, Any]) -> dict[str, Any]:
    """Signature -> method, and name, dtype and shape of each input and output (-1: any size; None: any rank)."""

    def tensors(infos: Mapping[str, Any]) -> dict[str, Any]:
        return {key: {"dtype": tf.as_dtype(infos[key].dtype).name, "shape": shape(infos[key])} for key in sorted(infos)}

    def shape(info: Any) -> list[int] | None:
        return None if info.tensor_shape.unknown_rank else [int(dim.size) for dim in info.tensor_shape.dim]

    return {
        name: {
            "method": signature.method_name,
            "inputs": tensors(signature.inputs),
            "outputs": tensors(signature.outputs),
        }
        for name, signature in sorted(signatures.items())
    }


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


def reason_of(error: Exception) -> str:
    """The line of TensorFlow's message that says why: the first, or what follows the name of the failed node."""
    lines = str(error).splitlines()
    node = next((number for number, line in enumerate(lines) if line.startswith("Node: ")), -1)
    return lines[node + 1]


def as_floats(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 with values 0 to 255 -> float32 in [0, 1], as the tutorial's clients send them."""
    return images.astype(np.float32) * np.float32(1.0 / 255.0)


def as_example(image: NDArray[np.float32]) -> bytes:
    """One image float32 [784] as a serialised `tf.Example` with the feature `x`."""
    floats = tf.train.FloatList(value=image.tolist())
    features = tf.train.Features(feature={FEATURE: tf.train.Feature(float_list=floats)})
    return bytes(tf.train.Example(features=features).SerializeToString())
