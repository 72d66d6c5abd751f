"""Write a SavedModel with the two signatures: inference alone, the same bytes whenever the weights are the same."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tasks.errors import ExportFailed
from tasks.model.architectures import Architecture, Weights
from tasks.model.images import Form
from tasks.model.tensorflow_setup import in_this_thread
from tasks.savedmodel.signatures import CLASSIFY_SIGNATURE, FEATURE, PREDICT_SIGNATURE, TAGS
from tasks.savedmodel.tensorflow_errors import writing

tf1 = tf.compat.v1


def write_saved_model(
    directory: Path, architecture: Architecture, form: Form, weights: Mapping[str, NDArray[np.float32]]
) -> None:
    """Write the inference graph of a model and its weights as a SavedModel.

    Args:
        directory: empty.
        architecture: the network, whose graph is built once a process.
        form: of its images and classes.
        weights: name -> value; those that the network asks for.

    Raises:
        ExportFailed: TensorFlow could not write it, or a signature of its own has the name of one that every model has,
            or needs a weight that was not trained.
        OSError: the disk is full.
    """
    try:
        with writing(directory):
            _inference_graph(architecture, form).write(directory, weights)
    except BaseException:
        _inference_graph.cache_clear()  # what was added to it half-way would be added a second time
        raise
    if not (directory / "variables" / "variables.index").is_file():
        raise ExportFailed(f"{directory}: TensorFlow wrote no variables/variables.index")


class _InferenceGraph:
    """The inference graph of a model, and a session through which the weights of one version after another go to disk.

    A SavedModel's graph does not depend on the weights: the first write serialises it, the others repeat those bytes.
    """

    def __init__(self, architecture: Architecture, form: Form) -> None:
        self.graph = tf.Graph()
        self.variables: dict[str, tf.Variable] = {}
        self.content = b""
        with self.graph.as_default():
            examples = tf1.placeholder(tf.string, [None], "tf_example")
            parsed = tf.io.parse_example(examples, {FEATURE: tf.io.FixedLenFeature([form.pixels], tf.float32)})
            images = tf.identity(parsed[FEATURE], "images")  # predict feeds this tensor, so one network serves both
            weight = Weights(self._weight, form)
            scores = tf.identity(architecture.scores(images, weight), "scores")
            best, order = tf.math.top_k(scores, form.classes)
            classes = tf.gather(tf.constant(form.class_names), order)
            self.signatures = {
                PREDICT_SIGNATURE: _predict_signature(images, {"scores": scores}),
                CLASSIFY_SIGNATURE: _classify_signature(examples, classes, best),
            }
            own = architecture.signatures(images, weight) if architecture.signatures else {}
            if taken := self.signatures.keys() & own.keys():
                raise ExportFailed(
                    f"model {architecture.name!r}: signature {', '.join(sorted(taken))} is there already"
                )
            self.signatures.update({name: _predict_signature(images, outputs) for name, outputs in own.items()})
            self.session = tf1.Session(graph=self.graph, config=in_this_thread())

    def write(self, directory: Path, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Write the graph with these weights."""
        untrained = self.variables.keys() - weights.keys()
        if untrained:
            raise ExportFailed(
                f"{directory}: weight {', '.join(sorted(untrained))} was not trained: no logits depend on it"
            )
        self.session.run(
            [variable.initializer for variable in self.variables.values()],
            {variable.initializer.inputs[1]: weights[name] for name, variable in self.variables.items()},
        )
        if not self.content:
            self._write_first(directory)
            self.content = (directory / "saved_model.pb").read_bytes()
            return
        (directory / "variables").mkdir()
        saver = self.saver.saver_def
        prefix = str(directory / "variables" / "variables")
        self.session.run(saver.save_tensor_name, {saver.filename_tensor_name: prefix})
        (directory / "saved_model.pb").write_bytes(self.content)

    def _write_first(self, directory: Path) -> None:
        builder = tf1.saved_model.builder.SavedModelBuilder(str(directory))
        with self.graph.as_default():
            self.saver = tf1.train.Saver(sharded=True, allow_empty=True)  # as the builder makes it
            builder.add_meta_graph_and_variables(
                self.session,
                list(TAGS),
                signature_def_map=self.signatures,
                main_op=tf1.tables_initializer(),
                strip_default_attrs=True,
                saver=self.saver,
            )
        builder.save()

    def _weight(self, name: str, shape: Sequence[int], fan_in: int = 0) -> tf.Variable:  # noqa: ARG002 - as in training
        if name not in self.variables:
            self.variables[name] = tf1.get_variable(
                name, shape, tf.float32, initializer=tf1.zeros_initializer(), use_resource=True
            )
        return self.variables[name]


_inference_graph = lru_cache(maxsize=8)(_InferenceGraph)


def _predict_signature(images: tf.Tensor, outputs: Mapping[str, tf.Tensor]) -> Any:
    return tf1.saved_model.build_signature_def(
        inputs={"images": tf1.saved_model.build_tensor_info(images)},
        outputs={name: tf1.saved_model.build_tensor_info(tensor) for name, tensor in outputs.items()},
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
