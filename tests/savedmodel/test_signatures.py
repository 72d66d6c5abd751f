"""The two signatures: names, methods, types and shapes, and how images are sent to them."""

import numpy as np
import pytest
import tensorflow as tf

from tasks.savedmodel.cpp_loader import read_meta_graph
from tasks.savedmodel.signatures import as_example, as_floats, describe_signatures
from tests.savedmodel.versions import MODELS, write_foreign


@pytest.mark.parametrize("model", MODELS.values())
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
    served = read_meta_graph(written / model).signature_def
    assert expected == describe_signatures(served)


def test_pixels_become_fractions():
    """0 to 255 becomes 0 to 1 in float32."""
    found = as_floats(np.array([0, 51, 255], np.uint8))
    assert np.float32 == found.dtype
    np.testing.assert_allclose([0, 0.2, 1], found, atol=1e-7)


def test_an_image_is_an_example():
    """The feature `x` carries the image's floats unchanged."""
    image = np.random.RandomState(0).random_sample(784).astype(np.float32)
    found = tf.train.Example.FromString(as_example(image))
    assert ["x"] == list(found.features.feature)
    np.testing.assert_array_equal(image, np.float32(found.features.feature["x"].float_list.value))


def test_unknown_rank_has_no_shape(tmp_path):
    """The tutorial's shapes of unknown rank are None, which no list of sizes is."""
    directory = write_foreign(tmp_path / "1")
    described = describe_signatures(read_meta_graph(directory).signature_def)
    unknown = {"dtype": "float32", "shape": None}
    assert described["predict_images"]["inputs"] == {"images": unknown}
    assert described["predict_images"]["outputs"] == {"scores": unknown}
