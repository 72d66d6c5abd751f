"""SavedModels as others make them: each kind is written by `KINDS[name](directory)`."""

from functools import partial

import keras
import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1

WEIGHTS = (np.random.RandomState(5).standard_normal((784, 10)) * 0.1).astype(np.float32)


class Softmax(tf.Module):
    """What `tf.saved_model.save` takes: weights, and functions with the types of their inputs."""

    def __init__(self):
        super().__init__()
        self.weights = tf.Variable(WEIGHTS)

    @tf.function(input_signature=[tf.TensorSpec([None, 784], tf.float32, name="images")])
    def predict(self, images):
        return {"scores": tf.nn.softmax(images @ self.weights)}

    @tf.function(input_signature=[tf.TensorSpec([None, 784], tf.float32, name="images")])
    def odd(self, images):
        scores = tf.nn.softmax(images @ self.weights)
        return {"half": tf.cast(scores, tf.float16), "mean": tf.reduce_mean(scores)}


class Words(tf.Module):
    """A model of texts: it looks words up in a table, whose file travels with it as an asset."""

    def __init__(self, vocabulary):
        super().__init__()
        lines = tf.lookup.TextFileIndex
        words = tf.lookup.TextFileInitializer(str(vocabulary), tf.string, lines.WHOLE_LINE, tf.int64, lines.LINE_NUMBER)
        self.table = tf.lookup.StaticVocabularyTable(words, num_oov_buckets=1)
        self.worth = tf.Variable([[1.0], [-1.0], [0.0]])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def rate(self, text):
        return {"worth": tf.reduce_sum(tf.gather(self.worth, self.table.lookup(tf.strings.split(text))), axis=1)}


def write_module(directory):
    """`tf.saved_model.save`, with the signature that it gives a name to."""
    module = Softmax()
    tf.saved_model.save(module, str(directory), signatures=module.predict)


def write_odd(directory):
    """A signature that answers with a type that JSON has not, and with a scalar."""
    module = Softmax()
    tf.saved_model.save(module, str(directory), signatures={"ask": module.odd})


def write_keras(directory):
    """`keras.Model.export`: endpoints `serve` and `serving_default`."""
    model = keras.Sequential([keras.Input((784,), name="pixels"), keras.layers.Dense(10, "softmax")])
    model.export(str(directory), verbose=False)


def write_words(directory):
    """A model of texts; the vocabulary that it was made from is gone afterwards."""
    vocabulary = directory.with_name("vocabulary.txt")
    vocabulary.write_text("good\nbad\n")
    module = Words(vocabulary)
    tf.saved_model.save(module, str(directory), signatures=module.rate)
    vocabulary.unlink()


def write_silent(directory):
    """Variables, and nothing to ask."""
    tf.saved_model.save(Softmax(), str(directory), signatures={})


def write_tutorial(directory, tags=(("serve",),)):
    """The graph that the tutorial's `mnist_saved_model.py` exports: a table of labels, its optimizer, unknown ranks.

    Further sets of tags give further graphs with the same variables.
    """
    with tf.Graph().as_default(), tf1.Session() as session:
        examples = tf1.placeholder(tf.string, name="tf_example")
        parsed = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([784], tf.float32)})
        images = tf.identity(parsed["x"], name="x")
        labels = tf1.placeholder(tf.float32, [None, 10])
        weights, biases = (tf1.get_variable(name, initializer=value) for name, value in _initial().items())
        scores = tf.nn.softmax(tf.matmul(images, weights) + biases, name="y")
        tf1.train.GradientDescentOptimizer(0.01).minimize(-tf.reduce_sum(labels * tf.math.log(scores)))
        best, order = tf.nn.top_k(scores, 10)
        names = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.range(10, dtype=tf.int64), [str(number) for number in range(10)]),
            "?",
        )
        signatures = {
            "predict_images": _signature({"images": images}, {"scores": scores}, "predict"),
            "serving_default": _signature(
                {"inputs": examples}, {"classes": names.lookup(tf.cast(order, tf.int64)), "scores": best}, "classify"
            ),
        }
        session.run([tf1.global_variables_initializer(), tf1.tables_initializer()])
        builder = tf1.saved_model.builder.SavedModelBuilder(str(directory))
        first, *others = tags
        add = {"signature_def_map": signatures, "main_op": tf1.tables_initializer(), "strip_default_attrs": True}
        builder.add_meta_graph_and_variables(session, first, **add)
        for further in others:
            session.graph.clear_collection("saved_model_main_op")  # the builder refuses a second one
            builder.add_meta_graph(further, **add)
        builder.save()


def _initial():
    return {"weights": WEIGHTS, "biases": np.zeros(10, np.float32)}


def _signature(inputs, outputs, method):
    infos = [
        {name: tf1.saved_model.build_tensor_info(tensor) for name, tensor in part.items()} for part in (inputs, outputs)
    ]
    return tf1.saved_model.build_signature_def(*infos, f"tensorflow/serving/{method}")


KINDS = {
    "module": write_module,
    "keras": write_keras,
    "words": write_words,
    "tutorial": write_tutorial,
    "several graphs": partial(write_tutorial, tags=(("train",), ("serve",), ("serve", "gpu"))),
    "no signature": write_silent,
}
