"""Readers of a version tree in a process of their own, as a model server is one; they use TensorFlow alone.

python -m tests.reader watch BASE          load whatever bears a number, every 10 ms, until stdin is closed
python -m tests.reader score NPZ VERSION.. accuracy of each version through both of its signatures
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1
tf1.logging.set_verbosity(tf1.logging.ERROR)


class Served:
    """A SavedModel as a server has it: the tag `serve`, and tensors found by their signature."""

    def __init__(self, directory: Path) -> None:
        self.session = tf1.Session(graph=tf.Graph())
        with self.session.graph.as_default():
            self.signatures = tf1.saved_model.loader.load(self.session, ["serve"], str(directory)).signature_def

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Scores float32 [n, 10] of images float32 [n, 784] through `predict_images`."""
        signature = self.signatures["predict_images"]
        return self.session.run(signature.outputs["scores"].name, {signature.inputs["images"].name: images})

    def classify(self, examples: list[bytes]) -> np.ndarray:
        """The best class of each `tf.Example`, int64 [n], through `serving_default`."""
        signature = self.signatures["serving_default"]
        classes = self.session.run(signature.outputs["classes"].name, {signature.inputs["inputs"].name: examples})
        return classes[:, 0].astype(np.int64)


def as_example(image: np.ndarray) -> bytes:
    """One image float32 [784] as a serialised `tf.Example` with the feature `x`."""
    feature = {"x": tf.train.Feature(float_list=tf.train.FloatList(value=image))}
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def watch(base: Path) -> list[str]:
    """Load each child of `base` with a number for a name as soon as it is seen; returns their names in that order."""
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    sys.stdout.write("watching\n")
    sys.stdout.flush()
    seen: list[str] = []
    last_look = False
    while not last_look:
        last_look = ended.is_set()
        for version in base.iterdir():
            if version.name.isdecimal() and version.name not in seen:
                assert (1, 10) == Served(version).predict(np.zeros((1, 784), np.float32)).shape
                json.loads((version / "assets.extra" / "manifest.json").read_text())
                seen.append(version.name)
        time.sleep(0.01)
    return seen


def score(data: Path, versions: list[Path]) -> dict[str, list[float]]:
    """Accuracy of each version on `images` (uint8) and `labels` of an .npz file: [predict_images, serving_default]."""
    with np.load(data) as arrays:
        images, labels = arrays["images"].astype(np.float32) / np.float32(255), arrays["labels"]
    examples = [as_example(image) for image in images]
    accuracies = {}
    for version in versions:
        served = Served(version)
        answers = served.predict(images).argmax(axis=1), served.classify(examples)
        accuracies[version.name] = [float((answer == labels).mean()) for answer in answers]
    return accuracies


if __name__ == "__main__":
    command, path, *rest = sys.argv[1:]
    found = watch(Path(path)) if command == "watch" else score(Path(path), [Path(version) for version in rest])
    sys.stdout.write(json.dumps(found) + "\n")
