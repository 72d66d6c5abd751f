"""The optimizers, each one TensorFlow kernel a weight and iteration.

`tf.raw_ops` are the kernels that Keras' optimizers run as well; called directly they add one node a weight to
the graph of the training loop, and leave their state in plain variables that a checkpoint can carry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.recipes import registry
from tasks.recipes.registry import Registry

if TYPE_CHECKING:
    import tensorflow as tf

Slots = Mapping[str, "tf.Variable"]
Update = Callable[["tf.Variable", Slots, "tf.Tensor", "tf.Tensor", "tf.Tensor"], "tf.Operation"]


@dataclass(frozen=True)
class Optimizer:
    """What is kept beside each weight (`slots`, zero at first), and how one gradient changes both.

    `update` gets the weight, its slots, the gradient, the learning rate (float32 scalar) and the iteration
    counted from 1 (float32 scalar).
    """

    slots: tuple[str, ...]
    update: Update


def _sgd(weight: tf.Variable, _: Slots, gradient: tf.Tensor, rate: tf.Tensor, __: tf.Tensor) -> tf.Operation:
    """Plain gradient descent: weight -= rate * gradient."""
    import tensorflow as tf

    return tf.raw_ops.ResourceApplyGradientDescent(var=weight.handle, alpha=rate, delta=gradient)


def _momentum(weight: tf.Variable, slots: Slots, gradient: tf.Tensor, rate: tf.Tensor, _: tf.Tensor) -> tf.Operation:
    """Descent along a decaying sum of gradients: momentum = 0.9 * momentum + gradient; weight -= rate * momentum."""
    import tensorflow as tf

    return tf.raw_ops.ResourceApplyMomentum(
        var=weight.handle, accum=slots["momentum"].handle, lr=rate, grad=gradient, momentum=0.9
    )


def _adam(
    weight: tf.Variable, slots: Slots, gradient: tf.Tensor, rate: tf.Tensor, iteration: tf.Tensor
) -> tf.Operation:
    """Adam (D. P. Kingma and J. Ba, 2015) with Keras' defaults, in the form of the last paragraph of its section 2."""
    import tensorflow as tf

    beta1, beta2, epsilon = 0.9, 0.999, 1e-7
    return tf.raw_ops.ResourceApplyAdam(
        var=weight.handle,
        m=slots["adam_m"].handle,
        v=slots["adam_v"].handle,
        beta1_power=tf.pow(beta1, iteration),
        beta2_power=tf.pow(beta2, iteration),
        lr=rate,
        beta1=beta1,
        beta2=beta2,
        epsilon=epsilon,
        grad=gradient,
    )


OPTIMIZERS: Registry[Optimizer] = registry.OPTIMIZERS
OPTIMIZERS.update(
    sgd=Optimizer(slots=(), update=_sgd),
    momentum=Optimizer(slots=("momentum",), update=_momentum),
    adam=Optimizer(slots=("adam_m", "adam_v"), update=_adam),
)
