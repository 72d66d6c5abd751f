"""The networks that can be trained, each one function from images to logits.

A further one is one more function under `@architecture`, here or in a module of one's own (see docs/recipes.md).
TensorFlow is imported inside the functions: every run reads the names and defaults in this module, and a run that
finds nothing to do must not pay for TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.errors import TrainingFailed
from tasks.model.distortions import Distortions
from tasks.model.images import Form
from tasks.recipes import registry
from tasks.recipes.registry import Registry

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Weights:
    """Hands an architecture its trainable weights by name, in training as in serving, and says what is asked of it."""

    find: Callable[[str, Sequence[int], int], tf.Tensor]
    form: Form

    def __call__(self, name: str, shape: Sequence[int], fan_in: int = 0) -> tf.Tensor:
        """The float32 weight of that name and shape.

        At iteration 0 it is zero, or with `fan_in` drawn from a normal distribution of variance 2 / fan_in
        (He et al., "Delving Deep into Rectifiers", 2015).
        """
        return self.find(name, shape, fan_in)

    @property
    def classes(self) -> int:
        """How many classes the dataset has, and so how many logits each image gets."""
        return self.form.classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image, which come as one row of that many values."""
        return self.form.shape


Logits = Callable[["tf.Tensor", Weights], "tf.Tensor"]
NO_DISTORTIONS = Distortions()
Signatures = Callable[["tf.Tensor", Weights], "Mapping[str, Mapping[str, tf.Tensor]]"]


@dataclass(frozen=True)
class Architecture:
    """A network and the settings that it is trained with unless a recipe says otherwise.

    `logits` maps images float32 [n, 784] in [0, 1] and `Weights` to logits float32 [n, 10]: so many pixels and classes
    as the dataset has. While training, each image is changed by one of `distortions`, drawn anew each time. With
    `average`, what is served are the weights' exponential averages over the training, in which the past
    counts for that much at each iteration. `signatures` maps the same images and `Weights` to what is served besides:
    name of a signature -> name of an output -> tensor; each is a Predict with the input `images`.
    """

    name: str
    logits: Logits
    optimizer: str
    learning_rate: float
    distortions: Distortions = NO_DISTORTIONS
    average: float = 0.0
    signatures: Signatures | None = None

    def scores(self, images: tf.Tensor, weight: Weights) -> tf.Tensor:
        """What is served: the softmax of the logits, float32 [n, 10], each row summing to 1."""
        import tensorflow as tf

        return tf.nn.softmax(self.logits(images, weight))

    def check_classes(self, logits: tf.Tensor, classes: int) -> None:
        """Make sure that the logits of one image are one for each class; raises TrainingFailed."""
        if logits.shape.rank != 2 or logits.shape[1] != classes:  # noqa: PLR2004 - images and classes
            raise TrainingFailed(
                f"model {self.name!r} gives logits of the shape {logits.shape} for one image; the dataset has "
                f"{classes} classes, so it has to be (1, {classes}); weight.classes is their number"
            )


ARCHITECTURES: Registry[Architecture] = registry.ARCHITECTURES
find_architecture = ARCHITECTURES.find


def architecture(
    *,
    optimizer: str,
    learning_rate: float,
    average: float = 0.0,
    signatures: Signatures | None = None,
    **distortions: Any,
) -> Callable[[Logits], Logits]:
    """Register a function under its own name, with the defaults of its training; see Architecture and Distortions."""

    def register(logits: Logits) -> Logits:
        name = logits.__name__
        ARCHITECTURES[name] = Architecture(
            name, logits, optimizer, learning_rate, Distortions(**distortions), average, signatures
        )
        return logits

    return register


@architecture(optimizer="sgd", learning_rate=0.5)
def softmax(images: tf.Tensor, weight: Weights) -> tf.Tensor:
    """The tutorial's softmax regression, from zeros: 7,850 weights on MNIST.

    The tutorial's learning rate is 0.01 on the sum over a batch of 50, which is 0.5 on its mean.
    """
    import tensorflow as tf

    weights = weight("weights", [images.shape[-1], weight.classes])
    return tf.nn.bias_add(tf.matmul(images, weights), weight("biases", [weight.classes]))


@architecture(optimizer="adam", learning_rate=0.004, average=0.99, shift=1, turn=10.0, stretch=0.07, slant=0.1)
def cnn(images: tf.Tensor, weight: Weights) -> tf.Tensor:
    """Three strided convolutions and one hidden layer: 167,754 weights on MNIST.

    The first convolution sees each 2x2 pixels as one with four channels, and is computed as a matrix product: that is
    the same, but TensorFlow's own takes twice as long for a kernel of a single channel.
    """
    import tensorflow as tf

    def dense(inputs: tf.Tensor, name: str, width: int) -> tf.Tensor:
        depth = inputs.shape[-1]
        return tf.matmul(inputs, weight(f"{name}/kernel", [depth, width], fan_in=depth)) + weight(
            f"{name}/bias", [width]
        )

    def convolution(inputs: tf.Tensor, name: str, width: int) -> tf.Tensor:
        depth = inputs.shape[-1]
        kernel = weight(f"{name}/kernel", [3, 3, depth, width], fan_in=3 * 3 * depth)
        return tf.nn.relu(tf.nn.conv2d(inputs, kernel, 2, "SAME") + weight(f"{name}/bias", [width]))

    odd_rows, odd_columns, _ = (size % 2 for size in weight.image_shape)
    framed = tf.pad(
        tf.reshape(images, [-1, *weight.image_shape]), [[0, 0], [2, 2 + odd_rows], [2, 2 + odd_columns], [0, 0]]
    )
    _, rows, columns, channels = framed.shape
    pairs = tf.reshape(framed, [-1, rows // 2, 2, columns * channels])  # of rows
    folded = [tf.reshape(pairs[:, :, row], [-1, rows // 2, columns // 2, 2 * channels]) for row in range(2)]
    framed = tf.concat(folded, -1)  # (n, 16, 16, 4): space_to_depth, whose own operation takes five times as long
    height, width = framed.shape[1] - 2, framed.shape[2] - 2
    windows = [framed[:, row : row + height, column : column + width] for row in range(3) for column in range(3)]
    windows = tf.concat(windows, -1)  # (n, 14, 14, 36)
    hidden = tf.nn.relu(dense(tf.reshape(windows, [-1, windows.shape[-1]]), "convolution_1", 16))
    hidden = tf.reshape(hidden, [-1, height, width, 16])  # (n, 14, 14, 16)
    hidden = convolution(hidden, "convolution_2", 48)  # (n, 7, 7, 48)
    hidden = convolution(hidden, "convolution_3", 64)  # (n, 4, 4, 64)
    hidden = tf.nn.relu(dense(tf.reshape(hidden, [-1, math.prod(hidden.shape[1:])]), "hidden", 128))
    return dense(hidden, "logits", weight.classes)
