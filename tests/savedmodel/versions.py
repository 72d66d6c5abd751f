"""Make versions without training: exported in this process from random weights, or as somebody else makes them."""

import numpy as np
import tensorflow as tf

from tasks.data.arrays import Split
from tasks.model.architectures import Weights, find_architecture
from tasks.savedmodel.export import export_version
from tasks.savedmodel.writer import write_saved_model
from tasks.versions.manifest import made_with
from tasks.versions.wanted_version import WantedVersion
from tests import small

tf.get_logger().setLevel("ERROR")

MODELS = {1: "softmax", 2: "cnn"}
IMAGES = small.make_images(120, seed=4)[0].reshape(-1, 784)


def draw_weights(model, seed=0):
    """Random weights for an architecture: {name: float32 array}."""
    stream, weights = np.random.RandomState(seed), {}

    def weight(name, shape, *_, **__):
        weights[name] = (stream.standard_normal(shape) * 0.1).astype(np.float32)
        return tf.constant(weights[name])

    with tf.Graph().as_default():
        find_architecture(model).logits(tf.zeros([1, 784]), Weights(weight, small.FORM))
    return weights


def expected_scores(model, weights, images, form=small.FORM):
    """What an architecture gives with those weights for images float32 [n, 784], computed without any SavedModel."""
    weight = Weights(lambda name, *_: tf.constant(weights[name]), form)
    return find_architecture(model).scores(tf.constant(images), weight).numpy()


def write(directory, model="softmax", weights=None):
    """A bare SavedModel of an architecture, with random weights unless some are given; returns the folder."""
    directory.mkdir(parents=True, exist_ok=True)
    write_saved_model(directory, find_architecture(model), small.FORM, weights or draw_weights(model))
    return directory


def export(directory, version, model, weights, **settings):
    """Export into `directory`, measured on the small dataset; returns the manifest."""
    images, labels = small.make_images(100, seed=3)
    data = Split(images.reshape(-1, 784), labels)
    recipe = small.make_recipe(model=model, training_iteration=1, **settings)
    directory.mkdir(parents=True)
    return export_version(
        directory,
        WantedVersion(directory.parent, version, recipe),
        architecture=find_architecture(model),
        form=small.FORM,
        weights=weights,
        measured_on={"validation": data, "test": data},
        dataset_checksums=small.SMALL.checksums,
        made_with=made_with(),
    )


def write_foreign(directory, signature="predict_images"):
    """A SavedModel as the tutorial's script writes it: no manifest, one signature, shapes of unknown rank."""
    tf1 = tf.compat.v1
    with tf.Graph().as_default(), tf1.Session() as session:
        examples = tf1.placeholder(tf.string, name="tf_example")
        parsed = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([784], tf.float32)})
        images = tf.identity(parsed["x"], name="x")
        images.set_shape(tf.TensorShape(None))
        weights = tf1.get_variable("weights", [784, 10], initializer=tf1.zeros_initializer())
        scores = tf1.placeholder_with_default(tf.nn.softmax(tf.matmul(tf.reshape(images, [-1, 784]), weights)), None)
        session.run(tf1.global_variables_initializer())
        builder = tf1.saved_model.builder.SavedModelBuilder(str(directory))
        info = tf1.saved_model.build_tensor_info
        definition = tf1.saved_model.build_signature_def(
            {"images": info(images)}, {"scores": info(scores)}, tf.saved_model.PREDICT_METHOD_NAME
        )
        builder.add_meta_graph_and_variables(
            session, ["serve"], signature_def_map=signature and {signature: definition}
        )
        builder.save()
    return directory
