"""Datasets of other forms: `luigi --module tests.other_forms ...` is the pipeline with them, and a network with more.

`small_letters` has the 62 classes of EMNIST, `small_colours` has images of 32x32 pixels in three channels. Each class
has a pattern, which stands in every image of it below noise, so that a softmax learns them in a few iterations.
"""

import hashlib
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase, digits

import numpy as np

import tasks
from tasks.data.dataset import DATASETS, Archive, Dataset
from tasks.data.idx import format_idx
from tasks.model.architectures import architecture

__all__ = ["tasks"]

TRAINING, VALIDATION, TEST = 620, 124, 124
FORMS = {
    "small_letters": ((28, 28, 1), tuple(digits + ascii_uppercase + ascii_lowercase)),
    "small_colours": ((32, 32, 3), ("rot", "grün", "blau", "weiß")),
}


def make_images(name: str, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [count, height, width] or [count, height, width, channels], and labels uint8 [count]."""
    shape, class_names = FORMS[name]
    labels = (np.arange(count) % len(class_names)).astype(np.uint8)
    patterns = np.random.RandomState(0).randint(0, 200, size=(len(class_names), *shape))
    noise = np.random.RandomState(seed).randint(0, 56, size=(count, *shape))
    images = (patterns[labels] + noise).astype(np.uint8)
    return (images[..., 0] if shape[2] == 1 else images), labels


def make_archives(name: str) -> dict[str, bytes]:
    """The four archives: name -> content."""
    parts = zip(("train", "test"), (TRAINING + VALIDATION, TEST), strict=True)
    return {
        f"{split}-{kind}": format_idx(values)
        for seed, (split, count) in enumerate(parts, 1)
        for kind, values in zip(("images", "labels"), make_images(name, count, seed), strict=True)
    }


def write_archives(name: str, directory: Path) -> Path:
    """Put the four archives into `directory`, which can then serve as a mirror."""
    directory.mkdir(parents=True, exist_ok=True)
    for archive, content in make_archives(name).items():
        (directory / archive).write_bytes(content)
    return directory


for _name, (_shape, _class_names) in FORMS.items():
    DATASETS[_name] = Dataset(
        _name,
        *(
            Archive(archive, hashlib.sha256(content).hexdigest(), len(content))
            for archive, content in make_archives(_name).items()
        ),
        training_images=TRAINING,
        validation_images=VALIDATION,
        mirrors=("http://127.0.0.1:9/",),
        shape=_shape,
        class_names=_class_names,
    )


def means_of_channels(images, weight):
    """A signature of the network's own: the mean of each channel, and the scores under another name."""
    import tensorflow as tf

    means = tf.reduce_mean(tf.reshape(images, [-1, *weight.image_shape]), axis=[1, 2])
    return {"describe": {"means": means, "probabilities": tf.nn.softmax(with_means(images, weight))}}


@architecture(optimizer="momentum", learning_rate=0.05, shift=1, signatures=means_of_channels)
def with_means(images, weight):
    """A softmax regression whose images are moved while it is trained, and which says more about them."""
    import tensorflow as tf

    weights = weight("weights", [images.shape[-1], weight.classes], fan_in=images.shape[-1])
    return tf.matmul(images, weights) + weight("biases", [weight.classes])
