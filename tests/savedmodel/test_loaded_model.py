"""SavedModels: written, loaded in this process and in another, damaged, and refused."""

import errno
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tasks.errors import ExportFailed
from tasks.model.architectures import find_architecture
from tasks.savedmodel import loaded_model, signatures, writer
from tasks.savedmodel.loaded_model import check_agreement, load_saved_model
from tasks.savedmodel.signatures import describe_signatures
from tasks.savedmodel.writer import write_saved_model
from tests import disks, small

tf1 = tf.compat.v1

SHAPES = {
    "softmax": {"weights": (784, 10), "biases": (10,)},
    "cnn": {
        "convolution_1/kernel": (5, 5, 1, 16),
        "convolution_1/bias": (16,),
        "convolution_2/kernel": (3, 3, 16, 32),
        "convolution_2/bias": (32,),
        "hidden/kernel": (1568, 96),
        "hidden/bias": (96,),
        "logits/kernel": (96, 10),
        "logits/bias": (10,),
    },
}
MODELS = pytest.mark.parametrize("model", sorted(SHAPES))
IMAGES = small.make_images(120, seed=4)[0].reshape(-1, 784)

ANOTHER_PROCESS = """
import sys
from pathlib import Path
from tasks.model.tensorflow_setup import import_tensorflow
import_tensorflow()
from tasks.savedmodel.loaded_model import load_saved_model
from tests.savedmodel.test_loaded_model import IMAGES, SHAPES, write
import numpy as np
here, there = Path(sys.argv[1]), Path(sys.argv[2])
for model in SHAPES:
    write(here / model, model)
    with load_saved_model(there / model) as loaded:
        np.save(here / f"{model}.npy", loaded.predict(IMAGES))
"""


def make_weights(model):
    stream = np.random.RandomState(0)
    return {name: (stream.standard_normal(shape) * 0.1).astype(np.float32) for name, shape in SHAPES[model].items()}


def write(directory, model="softmax"):
    directory.mkdir(parents=True, exist_ok=True)
    write_saved_model(directory, find_architecture(model).scores, make_weights(model))
    return directory


def contents(directory):
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with a SavedModel of each architecture."""
    directory = tmp_path_factory.mktemp("written")
    for model in SHAPES:
        write(directory / model, model)
    return directory


@pytest.fixture(scope="module")
def elsewhere(written, tmp_path_factory):
    """A folder in which another process wrote the same models, and the scores that it got from ours."""
    directory = tmp_path_factory.mktemp("elsewhere")
    subprocess.run(
        [sys.executable, "-c", ANOTHER_PROCESS, directory, written],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    return directory


@MODELS
def test_the_same_weights_give_the_same_bytes(written, elsewhere, tmp_path, model):
    """Written again in this process and in another one, every file is the same, byte for byte."""
    expected = contents(written / model)
    assert expected == contents(write(tmp_path / "again", model))
    assert expected == contents(elsewhere / model)


def test_there_is_nothing_in_it_but_a_saved_model(written):
    """Graph and variables, and no fingerprint or checkpoint state."""
    expected = {"saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"}
    assert expected == set(contents(written / "softmax"))


def test_the_graph_of_softmax_is_small(written):
    """Inference operations alone fit into 12 KB."""
    assert (written / "softmax" / "saved_model.pb").stat().st_size < 12 * 1024


@MODELS
def test_the_graph_holds_no_training(written, model):
    """Nothing but the variables and their restoring can change a weight."""
    with load_saved_model(written / model) as loaded:
        kinds = {operation.type for operation in loaded.session.graph.get_operations()}
    assert not [kind for kind in kinds if "Grad" in kind or "ApplyAdam" in kind or "While" in kind]


@MODELS
def test_another_process_gets_the_same_scores(written, elsewhere, model):
    """A process that knows nothing but the folder answers as this one does."""
    with load_saved_model(written / model) as loaded:
        found = loaded.predict(IMAGES)
    assert (120, 10) == found.shape
    np.testing.assert_allclose(np.load(elsewhere / f"{model}.npy"), found, atol=1e-6)


@MODELS
def test_signatures_are_those_of_the_tutorial(written, model):
    """Names, methods, types and known shapes, for every model, so that the tutorial's clients work unchanged."""
    expected = {
        "predict_images": {
            "method": "tensorflow/serving/predict",
            "inputs": {"images": {"dtype": "float32", "shape": [-1, 784]}},
            "outputs": {"scores": {"dtype": "float32", "shape": [-1, 10]}},
        },
        "serving_default": {
            "method": "tensorflow/serving/classify",
            "inputs": {"inputs": {"dtype": "string", "shape": [-1]}},
            "outputs": {
                "classes": {"dtype": "string", "shape": [-1, 10]},
                "scores": {"dtype": "float32", "shape": [-1, 10]},
            },
        },
    }
    with load_saved_model(written / model) as loaded:
        assert expected == describe_signatures(loaded.signatures)
        for signature in loaded.signatures.values():
            for info in (*signature.inputs.values(), *signature.outputs.values()):
                assert not info.tensor_shape.unknown_rank


def test_it_is_tagged_for_serving(written):
    """TensorFlow Serving loads the graph with the tag `serve`."""
    content = (written / "softmax" / "saved_model.pb").read_bytes()
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    graphs = SavedModel.FromString(content).meta_graphs
    assert [["serve"]] == [list(graph.meta_info_def.tags) for graph in graphs]
    assert graphs[0].meta_info_def.stripped_default_attrs


@MODELS
def test_scores_are_those_of_the_architecture(written, model):
    """What is served is the softmax of the logits of the weights that were handed in."""
    weights = make_weights(model)
    images = signatures.as_floats(IMAGES[:10])
    expected = find_architecture(model).scores(tf.constant(images), lambda name, shape, fan_in=0: weights[name])  # noqa: ARG005
    with load_saved_model(written / model) as loaded:
        np.testing.assert_allclose(expected.numpy(), loaded.predict(IMAGES[:10]), atol=1e-6)


@MODELS
def test_both_signatures_agree(written, model):
    """Classify gives all ten classes, best first, with the scores that predict gives them."""
    with load_saved_model(written / model) as loaded:
        predicted = loaded.predict(IMAGES[:100])
        classes, scores = loaded.classify(IMAGES[:100])
        check_agreement(loaded, IMAGES[:100])
    assert (100, 10) == classes.shape == scores.shape
    np.testing.assert_array_equal(predicted.argmax(axis=1), classes[:, 0].astype(int))
    np.testing.assert_array_equal(np.sort(predicted, axis=1)[:, ::-1], scores)
    assert {str(digit).encode() for digit in range(10)} == set(classes[0])


def test_images_are_scored_in_batches(written, monkeypatch):
    """How many images go into one batch makes no difference, and none is left out."""
    with load_saved_model(written / "softmax") as loaded:
        expected = loaded.predict(IMAGES)
        monkeypatch.setattr(loaded_model, "BATCH", 50)
        np.testing.assert_allclose(expected, loaded.predict(IMAGES), atol=1e-6)


def test_pixels_become_fractions():
    """0 to 255 becomes 0 to 1 in float32."""
    found = signatures.as_floats(np.array([0, 51, 255], np.uint8))
    assert np.float32 == found.dtype
    np.testing.assert_allclose([0, 0.2, 1], found, atol=1e-7)


def test_an_image_is_an_example():
    """The feature `x` carries the image's floats unchanged."""
    image = np.random.RandomState(0).random_sample(784).astype(np.float32)
    found = tf.train.Example.FromString(signatures.as_example(image))
    assert ["x"] == list(found.features.feature)
    np.testing.assert_array_equal(image, np.float32(found.features.feature["x"].float_list.value))


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
        writer._write(directory, session, signatures(images, examples, weight))
    return directory


def only_predict(images, examples, weight):  # noqa: ARG001 - one of the two inputs is not used
    return {"predict_images": writer._predict_signature(images, tf.matmul(images, weight))}


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
            "predict_images": writer._predict_signature(images, tf.tile(scores, [tf.shape(images)[0], 1])),
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
        check_agreement(loaded, IMAGES[:5])


def test_classes_that_are_not_ordered_are_refused(tmp_path):
    """Classify must give the best class first."""
    directory = write_other(tmp_path / "other", two_signatures(offset=0.0, order=[1, 0, *range(2, 10)]))
    with load_saved_model(directory) as loaded, pytest.raises(ExportFailed, match="the two signatures disagree"):
        check_agreement(loaded, IMAGES[:5])


@pytest.mark.parametrize("offset", [0.0, 5e-6])
def test_signatures_that_almost_agree_are_accepted(tmp_path, offset):
    """Rounding is no disagreement."""
    directory = write_other(tmp_path / "other", two_signatures(offset=offset, order=range(10)))
    with load_saved_model(directory) as loaded:
        check_agreement(loaded, IMAGES[:5])
        assert 5 == len(loaded.classify(IMAGES[:5])[0])


def test_a_model_without_weights_is_refused(tmp_path):
    """Without variables there is no variables.index, and a server would load what cannot answer."""

    def scores(images, weight):  # noqa: ARG001 - that is the point
        return tf.nn.softmax(images[:, :10])

    with pytest.raises(ExportFailed, match=f"^{tmp_path}: TensorFlow wrote no variables/variables.index$"):
        write_saved_model(tmp_path, scores, {})


def test_a_weight_that_is_used_twice_is_one(tmp_path):
    """An architecture may ask for a weight again, and gets the same one."""

    def scores(images, weight):
        return tf.nn.softmax(images @ weight("weights", [784, 10]) - images[:, ::-1] @ weight("weights", [784, 10]))

    weights = make_weights("softmax")
    write_saved_model(tmp_path, scores, weights)
    images = signatures.as_floats(IMAGES[:5])
    expected = tf.nn.softmax((images - images[:, ::-1]) @ weights["weights"])
    with load_saved_model(tmp_path) as loaded:
        np.testing.assert_allclose(expected, loaded.predict(IMAGES[:5]), atol=1e-5)


def test_a_full_disk_is_told(tmp_path):
    """A disk that takes no more is the error of the system that it is, with the folder."""
    with disks.mounted(tmp_path / "disk", size=1 << 14) as disk, pytest.raises(OSError, match=str(disk)) as caught:
        write(disk / "model")
    assert errno.ENOSPC == caught.value.errno


def test_a_file_that_may_not_grow_is_told(tmp_path):
    """What else keeps TensorFlow from writing ends in one line that names the folder."""
    with (
        disks.file_size_limit(4096),
        pytest.raises(ExportFailed, match=f"^{tmp_path}: [^\n]*; File too large$"),
    ):
        write(tmp_path)


def test_loading_changes_nothing(written):
    """Loading a SavedModel changes nothing in it."""

    def digest():
        return hashlib.sha256(repr(sorted(contents(written).items())).encode()).hexdigest()

    before = digest()
    with load_saved_model(written / "cnn") as loaded:
        loaded.predict(IMAGES[:1])
    assert before == digest()
