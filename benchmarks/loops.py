"""The training loop itself, in one process: against NumPy, a feed_dict loop and a Keras convnet; and the checks.

Run as `python -m benchmarks.loops ARRAYS OUTPUT PART ROUNDS`, one process a part, because TensorFlow's threads can be
set once in a process.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.checks import checks_before_publishing
from tasks.data.arrays import Split, Splits, map_arrays
from tasks.execution.computations import form_of
from tasks.model.architectures import find_architecture
from tasks.model.tensorflow_setup import import_tensorflow, prepare_tensorflow
from tasks.recipes.recipe import KEYS, Recipe

BATCH = 50


def make_recipe(**given: Any) -> Recipe:
    """A recipe with these keys and defaults for the rest, whatever luigi.cfg says."""
    own = find_architecture(given["model"])
    defaults = {name: key.default for name, key in KEYS.items()}
    return Recipe(**{**defaults, "optimizer": own.optimizer, "learning_rate": own.learning_rate, **given})


def softmax_loops(splits: Splits, rounds: int) -> dict[str, list[float]]:
    """Seconds of 1000 softmax iterations in this package's loop, in NumPy, and through feed_dict, in turn."""
    prepare_tensorflow(1)
    from tasks.model import schedules
    from tasks.model.training import train

    data = splits.training
    recipe = make_recipe(model="softmax", batch_size=BATCH)
    order = schedules.draw_order(0, 0, 1000, batch_size=BATCH, examples=len(data.labels))
    feed = _feed_dict_loop(data, order)

    def ours() -> None:
        train(
            recipe,
            data.images,
            data.labels,
            form=form_of("mnist"),
            total_iterations=0,
            start=0,
            stop=1000,
            state=None,
            report=lambda *_: None,
        )

    seconds: dict[str, list[float]] = {"tasks": [], "numpy": [], "feed_dict": []}
    for measure in (ours, lambda: _numpy_loop(data, order), feed):
        measure()
    for _ in range(rounds):
        for name, measure in (("tasks", ours), ("numpy", lambda: _numpy_loop(data, order)), ("feed_dict", feed)):
            began = time.monotonic()
            measure()
            seconds[name].append(time.monotonic() - began)
    return seconds


def _numpy_loop(data: Split, order: np.ndarray) -> None:
    """The floor: what the arithmetic costs without a framework."""
    weights, biases = np.zeros((784, 10), np.float32), np.zeros(10, np.float32)
    rows = np.arange(order.shape[1])
    for indices in order:
        batch = data.images[indices] * np.float32(1 / 255)
        logits = batch @ weights + biases
        logits -= logits.max(axis=1, keepdims=True)
        exponentials = np.exp(logits)
        gradient = exponentials / exponentials.sum(axis=1, keepdims=True)
        gradient[rows, data.labels[indices]] -= 1
        gradient *= np.float32(1 / len(indices))
        weights -= 0.5 * (batch.T @ gradient)
        biases -= 0.5 * gradient.sum(axis=0)


def _feed_dict_loop(data: Split, order: np.ndarray):  # type: ignore[no-untyped-def]  # noqa: ANN202 - a closure
    """The tutorial's way: one `session.run` with a feed_dict an iteration."""
    import tensorflow as tf

    tf1 = tf.compat.v1
    graph = tf.Graph()
    with graph.as_default():
        images, labels = tf1.placeholder(tf.float32, [None, 784]), tf1.placeholder(tf.float32, [None, 10])
        weights, biases = tf1.Variable(tf.zeros([784, 10])), tf1.Variable(tf.zeros([10]))
        scores = tf.nn.softmax(tf.matmul(images, weights) + biases)
        loss = -tf.reduce_sum(labels * tf.math.log(scores))
        step = tf1.train.GradientDescentOptimizer(0.01).minimize(loss)
        initializer = tf1.global_variables_initializer()
    session = tf1.Session(graph=graph)
    floats = data.images * np.float32(1 / 255)
    one_hot = np.eye(10, dtype=np.float32)[data.labels]

    def loop() -> None:
        session.run(initializer)
        for indices in order:
            session.run(step, {images: floats[indices], labels: one_hot[indices]})

    return loop


def cnn_run(splits: Splits, threads: int, iterations: int) -> dict[str, float]:
    """Seconds of training, and test accuracy after it, of the shipped CNN."""
    prepare_tensorflow(threads)
    from tasks.model import checkpoints
    from tasks.model.evaluation import evaluate
    from tasks.model.training import train
    from tasks.savedmodel.loaded_model import load_saved_model
    from tasks.savedmodel.writer import write_saved_model

    data = splits.training
    recipe = make_recipe(model="cnn", batch_size=min(128, len(data.labels)), schedule="linear")
    began = time.monotonic()
    state = train(
        recipe,
        data.images,
        data.labels,
        form=form_of("mnist"),
        total_iterations=iterations,
        start=0,
        stop=iterations,
        state=None,
        report=lambda *_: None,
    )
    seconds = time.monotonic() - began
    with tempfile.TemporaryDirectory() as folder:
        checkpoints.save_state(Path(folder), state)
        weights = checkpoints.load_weights(Path(folder))
        write_saved_model(Path(folder, "1"), find_architecture("cnn"), form_of("mnist"), weights)
        with load_saved_model(Path(folder, "1")) as model:
            accuracy = evaluate(model.predict(splits.test.images), splits.test.labels).accuracy
    return {"seconds": seconds, "accuracy": accuracy}


def keras_run(splits: Splits, per_mille: int, most_epochs: int) -> dict[str, float]:
    """Seconds of training until the test accuracy reaches `per_mille` / 1000, epoch by epoch, of a Keras convnet.

    The network of Keras' "Simple MNIST convnet" example (F. Chollet, 2015), written afresh: 3x3 convolutions of 32
    and 64 channels, each followed by 2x2 max-pooling, dropout of one half, Adam, batches of 128.
    """
    import_tensorflow()
    import keras

    def prepared(split: Split) -> tuple[np.ndarray, np.ndarray]:
        return (split.images * np.float32(1 / 255)).reshape(-1, 28, 28, 1), split.labels.astype(np.int32)

    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(loss="sparse_categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    images, labels = prepared(splits.training)
    test = prepared(splits.test)
    seconds, accuracy, epochs = 0.0, 0.0, 0
    while accuracy < per_mille / 1000 and epochs < most_epochs:
        began = time.monotonic()
        model.fit(images, labels, batch_size=128, epochs=1, verbose=0)
        seconds += time.monotonic() - began
        epochs += 1
        accuracy = float(model.evaluate(*test, verbose=0)[1])
    return {"seconds": seconds, "accuracy": accuracy, "epochs": epochs}


PARTS: dict[str, Callable[..., object]] = {
    "softmax": softmax_loops,
    "cnn": cnn_run,
    "keras": keras_run,
    "checks": checks_before_publishing,
}

if __name__ == "__main__":
    arrays, output, part, *numbers = sys.argv[1:]
    Path(output).write_text(json.dumps(PARTS[part](map_arrays(Path(arrays)), *map(int, numbers))))
