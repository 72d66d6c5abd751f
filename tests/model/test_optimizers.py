"""The optimizers against a few lines of NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tasks.model.optimizers import OPTIMIZERS
from tasks.model.schedules import learning_rates
from tasks.recipes.recipe import SCHEDULES

STEPS = 5
RATES = [0.1, 0.1, 0.05, 0.02, 0.3]


def sgd(weight, slots, gradient, rate, iteration):  # noqa: ARG001 - the optimizers' common arguments
    return weight - rate * gradient


def momentum(weight, slots, gradient, rate, iteration):  # noqa: ARG001 - as above
    slots["momentum"] = 0.9 * slots.get("momentum", 0) + gradient
    return weight - rate * slots["momentum"]


def adam(weight, slots, gradient, rate, iteration):
    """D. P. Kingma and J. Ba, "Adam", 2015, the form in the last paragraph of its section 2."""
    slots["adam_m"] = 0.9 * slots.get("adam_m", 0) + 0.1 * gradient
    slots["adam_v"] = 0.999 * slots.get("adam_v", 0) + 0.001 * gradient**2
    step = rate * np.sqrt(1 - 0.999**iteration) / (1 - 0.9**iteration)
    return weight - step * slots["adam_m"] / (np.sqrt(slots["adam_v"]) + 1e-7)


@pytest.mark.parametrize("reference", [sgd, momentum, adam], ids=lambda reference: reference.__name__)
def test_optimizers_do_what_is_published(reference):
    """Five updates give the weights and the slots that the published formulas give, to 1e-6."""
    stream = np.random.RandomState(0)
    start = stream.standard_normal((3, 4))
    gradients = stream.standard_normal((STEPS, 3, 4))

    optimizer = OPTIMIZERS[reference.__name__]
    weight = tf.Variable(start, dtype=tf.float32)
    slots = {slot: tf.Variable(tf.zeros((3, 4))) for slot in optimizer.slots}
    expected, expected_slots = start, {}
    for iteration, (gradient, rate) in enumerate(zip(gradients, RATES, strict=True), start=1):
        optimizer.update(
            weight,
            slots,
            tf.constant(gradient, tf.float32),
            tf.constant(rate, tf.float32),
            tf.constant(iteration, tf.float32),
        )
        expected = reference(expected, expected_slots, gradient, rate, iteration)

    np.testing.assert_allclose(expected, weight.numpy(), atol=1e-6)
    assert set(expected_slots) == set(slots)
    for name, slot in slots.items():
        np.testing.assert_allclose(expected_slots[name], slot.numpy(), atol=1e-6)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_has_rates(schedule):
    """Each schedule that a recipe may name gives a rate to every iteration."""
    assert 10 == len(learning_rates(schedule, 0.1, 0, 10, total=10))
