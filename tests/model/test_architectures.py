"""The networks: their weights, what they give, and how a further one is added."""

import numpy as np
import pytest
import tensorflow as tf

from tasks.errors import InvalidParameter
from tasks.model.architectures import ARCHITECTURES, Weights, architecture, find_architecture
from tasks.model.distortions import Distortions
from tasks.model.images import Form
from tasks.model.optimizers import OPTIMIZERS
from tests import small

SHIPPED = ("cnn", "softmax")


class RandomWeights(Weights):
    """Hands out random weights, and notes their shapes and fan-ins."""

    def __init__(self, form=small.FORM):
        stream, values, fan_ins = np.random.RandomState(0), {}, {}

        def find(name, shape, fan_in):
            if name not in values:
                values[name] = tf.constant(stream.standard_normal(shape) * 0.05, tf.float32)
                fan_ins[name] = fan_in
            return values[name]

        super().__init__(find, form)
        self.__dict__.update(values=values, fan_in=fan_ins)


@pytest.fixture
def images():
    return tf.constant(np.random.RandomState(1).random_sample((5, 784)), tf.float32)


@pytest.mark.parametrize(("name", "expected"), [("softmax", 7850), ("cnn", 167754)])
def test_networks_have_as_many_weights_as_declared(images, name, expected):
    """The number of weights is the one in the architecture's docstring."""
    weights = RandomWeights()
    logits = find_architecture(name).logits
    logits(images, weights)
    assert expected == sum(int(tf.size(value)) for value in weights.values.values())
    assert f"{expected:,} weights" in logits.__doc__


@pytest.mark.parametrize("name", SHIPPED)
def test_scores_are_a_distribution(images, name):
    """Each image gets ten positive scores that sum to 1, ordered as the logits are."""
    found, weights = find_architecture(name), RandomWeights()
    scores = found.scores(images, weights).numpy()
    assert (5, 10) == scores.shape
    assert np.float32 == scores.dtype
    assert (scores > 0).all()
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(found.logits(images, weights).numpy().argsort(), scores.argsort())


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("shape", [(32, 32, 3), (20, 30, 1), (1, 1, 1)], ids=str)
def test_networks_take_the_form_of_the_dataset(name, shape):
    """Images of any size and any number of channels and classes, and what is left or right in one matters."""
    form = Form(shape, tuple(map(str, range(62))))
    weights = RandomWeights(form)
    images = np.random.RandomState(1).random_sample((5, *shape)).astype(np.float32)
    scores, mirrored = (
        find_architecture(name).scores(tf.constant(seen.reshape(5, -1)), weights).numpy()
        for seen in (images, images[:, :, ::-1])
    )
    assert (5, 62) == scores.shape
    assert (shape[1] > 1) == (np.abs(scores - mirrored).max() > 1e-4)


@pytest.mark.parametrize("name", SHIPPED)
def test_an_image_is_scored_alone(images, name):
    """What else is in the batch makes no difference to an image's scores."""
    found, weights = find_architecture(name), RandomWeights()
    together = found.scores(images, weights).numpy()
    alone = [found.scores(images[row : row + 1], weights).numpy()[0] for row in range(5)]
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_softmax_is_one_linear_map(images):
    """The tutorial's regression: images times weights plus biases, both zero at first."""
    weights = RandomWeights()
    found = find_architecture("softmax").logits(images, weights).numpy()
    expected = images.numpy() @ weights.values["weights"].numpy() + weights.values["biases"].numpy()
    np.testing.assert_allclose(expected, found, atol=1e-5)
    assert {"weights": 0, "biases": 0} == weights.fan_in


def test_kernels_of_cnn_know_their_fan_in(images):
    """Each kernel is drawn by the number of values that each of its outputs sums; biases are zero at first."""
    weights = RandomWeights()
    find_architecture("cnn").logits(images, weights)
    for name, value in weights.values.items():
        expected = int(np.prod(value.shape[:-1])) if name.endswith("kernel") else 0
        assert (name, expected) == (name, weights.fan_in[name])


@pytest.mark.parametrize("name", SHIPPED)
def test_defaults_of_training_make_sense(name):
    """Every architecture names an optimizer that there is, and a rate above zero."""
    found = ARCHITECTURES[name]
    assert name == found.name
    assert found.optimizer in OPTIMIZERS
    assert found.learning_rate > 0


def test_an_unknown_architecture_is_refused():
    """The error names what was asked for and what there is."""
    with pytest.raises(InvalidParameter, match=r"^model = 'resnet': unknown; allowed are cnn, (.*, )?softmax"):
        find_architecture("resnet")


def test_a_further_architecture_is_one_function(monkeypatch):
    """A decorated function is found under its own name, with the defaults that it was given."""
    monkeypatch.delitem(ARCHITECTURES, "mine", raising=False)

    @architecture(optimizer="momentum", learning_rate=0.1, shift=2)
    def mine(images, weight):
        return images @ weight("w", [784, 10])

    monkeypatch.setitem(ARCHITECTURES, "mine", ARCHITECTURES.pop("mine"))
    found = find_architecture("mine")
    assert (mine, "momentum", 0.1) == (found.logits, found.optimizer, found.learning_rate)
    assert Distortions(shift=2) == found.distortions
