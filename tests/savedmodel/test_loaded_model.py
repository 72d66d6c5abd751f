"""SavedModels: loaded in this process and in another, two at once, damaged, and refused."""

import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf

from tasks.errors import ExportFailed
from tasks.savedmodel import writer
from tasks.savedmodel.loaded_model import check_agreement, load_saved_model
from tasks.savedmodel.signatures import as_floats
from tests import small
from tests.conftest import read_tree
from tests.savedmodel.versions import IMAGES, MODELS, draw_weights, expected_scores, write

tf1 = tf.compat.v1

EACH_MODEL = pytest.mark.parametrize("model", MODELS.values())


@EACH_MODEL
def test_another_process_gets_the_same_scores(written, elsewhere, model):
    """A process that knows nothing but the folder answers as this one does."""
    with load_saved_model(written / model) as loaded:
        found = loaded.predict(IMAGES)
    assert (120, 10) == found.shape
    np.testing.assert_allclose(np.load(elsewhere / f"{model}.npy"), found, atol=1e-6)


@EACH_MODEL
def test_both_signatures_agree(written, model):
    """Classify gives all ten classes, best first, with the scores that predict gives them."""
    with load_saved_model(written / model) as loaded:
        predicted = loaded.predict(IMAGES[:100])
        classes, scores = loaded.classify(IMAGES[:100])
        check_agreement(loaded, IMAGES[:100], small.FORM.class_names)
    assert (100, 10) == classes.shape == scores.shape
    np.testing.assert_array_equal(predicted.argmax(axis=1), classes[:, 0].astype(int))
    np.testing.assert_array_equal(np.sort(predicted, axis=1)[:, ::-1], scores)
    assert {str(digit).encode() for digit in range(10)} == set(classes[0])


def test_images_are_scored_in_batches(written):
    """How many images go into one batch makes no difference, and none is left out."""
    with load_saved_model(written / "softmax") as loaded:
        np.testing.assert_allclose(
            loaded.predict(IMAGES), dataclasses.replace(loaded, batch=50).predict(IMAGES), atol=1e-6
        )


def test_the_widest_layer_decides_how_many_images_are_scored_at_once(written):
    """A thousand of the softmax, whose widest layer is the image, and fewer of a network that needs more memory."""
    with load_saved_model(written / "softmax") as softmax, load_saved_model(written / "cnn") as cnn:
        assert 1000 == softmax.batch
        assert 1 < cnn.batch < 500


def no_folder(directory):
    for path in sorted(directory.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    directory.rmdir()


def no_graph(directory):
    (directory / "saved_model.pb").unlink()


def garbled_graph(directory):
    (directory / "saved_model.pb").write_bytes(b"\xff" * 100)


def empty_graph(directory):
    (directory / "saved_model.pb").write_bytes(b"")


def no_index(directory):
    (directory / "variables" / "variables.index").unlink()


def garbled_index(directory):
    (directory / "variables" / "variables.index").write_bytes(b"\xff" * 100)


def truncated_data(directory):
    os.truncate(directory / "variables" / "variables.data-00000-of-00001", 100)


def no_data(directory):
    (directory / "variables" / "variables.data-00000-of-00001").unlink()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (no_folder, "SavedModel file does not exist"),
        (no_graph, "SavedModel file does not exist"),
        (garbled_graph, "Cannot parse file"),
        (empty_graph, "MetaGraphDef associated with tags 'serve' could not be found"),
        (no_index, "The passed save_path is not a valid checkpoint"),
        (garbled_index, "not an sstable"),
        (truncated_data, "Read less bytes than requested"),
        (no_data, ".*variables.data-00000-of-00001; No such file or directory"),
    ],
)
def test_a_damaged_saved_model_does_not_load(tmp_path, damage, reason):
    """Whatever is missing or cut short, the error names the folder and the reason in one line."""
    directory = write(tmp_path / "damaged")
    damage(directory)
    with (
        pytest.raises(ExportFailed, match=f"^{directory}: does not load as a SavedModel: {reason}[^\n]*$"),
        load_saved_model(directory),
    ):
        pass


def write_other(directory, signatures):
    """A SavedModel by TensorFlow's own means: `signatures` maps images and examples to signature definitions."""
    with tf.Graph().as_default() as graph, tf1.Session(graph=graph) as session:
        images = tf1.placeholder(tf.float32, [None, 784], "images")
        examples = tf1.placeholder(tf.string, [None], "examples")
        weight = tf1.get_variable("weight", [784, 10], initializer=tf1.ones_initializer(), use_resource=True)
        session.run(weight.initializer)
        builder = tf1.saved_model.builder.SavedModelBuilder(str(directory))
        signature_defs = signatures(images, examples, weight)
        builder.add_meta_graph_and_variables(
            session, ["serve"], signature_def_map=signature_defs, main_op=tf1.tables_initializer()
        )
        builder.save()
    return directory


def only_predict(images, examples, weight):  # noqa: ARG001 - one of the two inputs is not used
    return {"predict_images": writer._predict_signature(images, {"scores": tf.matmul(images, weight)})}


def only_classify(images, examples, weight):  # noqa: ARG001 - as above
    scores = tf.matmul(tf.zeros([tf.shape(examples)[0], 784]), weight)
    return {"serving_default": writer._classify_signature(examples, tf.as_string(scores), scores)}


@pytest.mark.parametrize(
    ("signatures", "missing"), [(only_predict, "serving_default"), (only_classify, "predict_images")]
)
def test_a_signature_that_is_missing_is_named(tmp_path, signatures, missing):
    """A SavedModel without one of the two signatures is not used."""
    directory = write_other(tmp_path / "other", signatures)
    with (
        pytest.raises(ExportFailed, match=f"^{directory}: signature {missing} is missing$"),
        load_saved_model(directory),
    ):
        pass


def two_signatures(*, offset, order):
    """Two signatures whose scores differ by `offset`, the classes listed in `order`."""

    def signatures(images, examples, weight):
        scores = tf.constant([[0.55 - 0.1 * kind for kind in range(10)]]) + 0 * weight[:1]
        rows = tf.gather(scores + offset, order, axis=1)
        classes = tf.constant([[str(kind) for kind in order]])
        many = tf.stack([tf.shape(examples)[0], 1])
        return {
            "predict_images": writer._predict_signature(images, {"scores": tf.tile(scores, [tf.shape(images)[0], 1])}),
            "serving_default": writer._classify_signature(examples, tf.tile(classes, many), tf.tile(rows, many)),
        }

    return signatures


def test_signatures_that_disagree_are_refused(tmp_path):
    """A score that differs by more than 1e-5 is told with the difference and what is allowed."""
    directory = write_other(tmp_path / "other", two_signatures(offset=0.25, order=range(10)))
    with (
        load_saved_model(directory) as loaded,
        pytest.raises(
            ExportFailed, match=f"^{directory}: the two signatures disagree: scores differ by 0.25, allowed is 1e-05$"
        ),
    ):
        check_agreement(loaded, IMAGES[:5], small.FORM.class_names)


def test_classes_that_are_not_ordered_are_refused(tmp_path):
    """Classify must give the best class first."""
    directory = write_other(tmp_path / "other", two_signatures(offset=0.0, order=[1, 0, *range(2, 10)]))
    with load_saved_model(directory) as loaded, pytest.raises(ExportFailed, match="the two signatures disagree"):
        check_agreement(loaded, IMAGES[:5], small.FORM.class_names)


@pytest.mark.parametrize("offset", [0.0, 5e-6])
def test_signatures_that_almost_agree_are_accepted(tmp_path, offset):
    """Rounding is no disagreement."""
    directory = write_other(tmp_path / "other", two_signatures(offset=offset, order=range(10)))
    with load_saved_model(directory) as loaded:
        check_agreement(loaded, IMAGES[:5], small.FORM.class_names)
        assert 5 == len(loaded.classify(IMAGES[:5])[0])


def test_loading_changes_nothing(written):
    """Loading a SavedModel changes nothing in it."""
    before = read_tree(written / "cnn")
    with load_saved_model(written / "cnn") as loaded:
        loaded.predict(IMAGES[:1])
    assert before == read_tree(written / "cnn")


@EACH_MODEL
def test_versions_that_are_loaded_at_once_keep_their_weights(tmp_path, model):
    """Two versions of one architecture, open at the same time and asked in turn, answer with their own weights."""
    weights = {seed: draw_weights(model, seed) for seed in (1, 2)}
    first, second = (write(tmp_path / str(seed), model, weights[seed]) for seed in weights)
    expected = {seed: expected_scores(model, weights[seed], as_floats(IMAGES)) for seed in weights}
    assert np.abs(expected[1] - expected[2]).max() > 0.09
    with load_saved_model(first) as one, load_saved_model(second) as two:
        for _ in range(2):
            np.testing.assert_allclose(one.predict(IMAGES), expected[1], atol=1e-5)
            np.testing.assert_allclose(two.predict(IMAGES), expected[2], atol=1e-5)
        check_agreement(one, IMAGES, small.FORM.class_names)
        check_agreement(two, IMAGES, small.FORM.class_names)
