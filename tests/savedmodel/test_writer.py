"""SavedModels as they are written: the same bytes each time, with nothing in them that serving does not need."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from tasks.errors import ExportFailed
from tasks.model.architectures import Architecture
from tasks.savedmodel.loaded_model import load_saved_model
from tasks.savedmodel.signatures import as_floats
from tasks.savedmodel.writer import write_saved_model
from tests import small
from tests.conftest import read_tree
from tests.savedmodel.versions import IMAGES, MODELS, draw_weights, expected_scores, write

EACH_MODEL = pytest.mark.parametrize("model", MODELS.values())


def own(logits, **settings):
    return Architecture("own", logits, "sgd", 0.5, **settings)


@EACH_MODEL
def test_the_same_weights_give_the_same_bytes(written, elsewhere, tmp_path, model):
    """Written again in this process and in another one, every file is the same, byte for byte."""
    expected = read_tree(written / model)
    assert expected == read_tree(write(tmp_path / "again", model))
    assert expected == read_tree(elsewhere / model)


def test_there_is_nothing_in_it_but_a_saved_model(written):
    """Graph and variables, and no fingerprint or checkpoint state."""
    expected = {"saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"}
    assert expected == set(read_tree(written / "softmax"))


def test_the_graph_of_softmax_is_small(written):
    """Inference operations alone fit into 12 KB."""
    assert (written / "softmax" / "saved_model.pb").stat().st_size < 12 * 1024


@EACH_MODEL
def test_the_graph_holds_no_training(written, model):
    """Nothing but the variables and their restoring can change a weight."""
    with load_saved_model(written / model) as loaded:
        kinds = {operation.type for operation in loaded.session.graph.get_operations()}
    assert not [kind for kind in kinds if "Grad" in kind or "ApplyAdam" in kind or "While" in kind]


def test_it_is_tagged_for_serving(written):
    """TensorFlow Serving loads the graph with the tag `serve`."""
    content = (written / "softmax" / "saved_model.pb").read_bytes()
    graphs = SavedModel.FromString(content).meta_graphs
    assert [["serve"]] == [list(graph.meta_info_def.tags) for graph in graphs]
    assert graphs[0].meta_info_def.stripped_default_attrs


@EACH_MODEL
def test_scores_are_those_of_the_architecture(written, model):
    """What is served is the softmax of the logits of the weights that were handed in."""
    weights = draw_weights(model)
    images = as_floats(IMAGES[:10])
    with load_saved_model(written / model) as loaded:
        np.testing.assert_allclose(expected_scores(model, weights, images), loaded.predict(IMAGES[:10]), atol=1e-6)


def test_a_model_without_weights_is_refused(tmp_path):
    """Without variables there is no variables.index, and a server would load what cannot answer."""

    def logits(images, weight):  # noqa: ARG001 - that is the point
        return images[:, :10]

    with pytest.raises(ExportFailed, match=f"^{tmp_path}: TensorFlow wrote no variables/variables.index$"):
        write_saved_model(tmp_path, own(logits), small.FORM, {})


def test_a_weight_that_is_used_twice_is_one(tmp_path):
    """An architecture may ask for a weight again, and gets the same one."""

    def logits(images, weight):
        return images @ weight("weights", [784, 10]) - images[:, ::-1] @ weight("weights", [784, 10])

    weights = draw_weights("softmax")
    write_saved_model(tmp_path, own(logits), small.FORM, weights)
    images = as_floats(IMAGES[:5])
    expected = tf.nn.softmax((images - images[:, ::-1]) @ weights["weights"])
    with load_saved_model(tmp_path) as loaded:
        np.testing.assert_allclose(expected, loaded.predict(IMAGES[:5]), atol=1e-5)


def regression(images, weight):
    return images @ weight("weights", [784, 10]) + weight("biases", [10])


@pytest.mark.parametrize("name", ["predict_images", "serving_default"])
def test_a_signature_of_its_own_takes_no_others_place(tmp_path, name):
    """What the tutorial's clients ask for is not theirs to define; nothing is written, and the next model is."""
    model = own(regression, signatures=lambda images, _: {name: {"scores": images}})
    with pytest.raises(ExportFailed, match=f"^model 'own': signature {name} is there already$"):
        write_saved_model(tmp_path, model, small.FORM, draw_weights("softmax"))
    assert {} == read_tree(tmp_path)


def test_a_signature_of_its_own_has_no_weights_of_its_own(tmp_path):
    """A weight that no logits depend on was never trained."""
    model = own(regression, signatures=lambda images, weight: {"more": {"x": images @ weight("more", [784, 2])}})
    with pytest.raises(ExportFailed, match=r"weight more was not trained: no logits depend on it$"):
        write_saved_model(tmp_path, model, small.FORM, draw_weights("softmax"))


def test_a_signature_of_its_own_stands_beside_the_others(tmp_path):
    """It takes images and shares the weights."""

    def more(images, weight):
        return {"more": {"logits": regression(images, weight), "first": images[:, :1]}}

    weights = draw_weights("softmax")
    write_saved_model(tmp_path, own(regression, signatures=more), small.FORM, weights)
    with load_saved_model(tmp_path) as loaded:
        signature = loaded.signatures["more"]
        fetches = {name: info.name for name, info in signature.outputs.items()}
        found = loaded.session.run(fetches, {signature.inputs["images"].name: as_floats(IMAGES[:5])})
    np.testing.assert_allclose(
        as_floats(IMAGES[:5]) @ weights["weights"] + weights["biases"], found["logits"], atol=1e-5
    )
    np.testing.assert_array_equal(as_floats(IMAGES[:5])[:, :1], found["first"])
