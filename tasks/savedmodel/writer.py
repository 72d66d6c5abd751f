"""Write a SavedModel with the two signatures: inference alone, the same bytes whenever the weights are the same."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tasks.errors import ExportFailed
from tasks.model.images import CLASSES, PIXELS
from tasks.savedmodel.signatures import CLASSIFY_SIGNATURE, FEATURE, PREDICT_SIGNATURE, TAGS
from tasks.savedmodel.tensorflow_errors import writing

tf1 = tf.compat.v1

CLASS_NAMES = tuple(str(number) for number in range(CLASSES))

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
