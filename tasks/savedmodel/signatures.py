"""The two signatures of every version: their names, what they take, and a description of any signature.

They are those of TensorFlow Serving's `mnist_saved_model.py`, so that the clients of the tutorial work unchanged:
`predict_images` (images -> scores) and `serving_default` (tf.Example -> classes, scores).
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

TAGS = ("serve",)
PREDICT_SIGNATURE = "predict_images"
CLASSIFY_SIGNATURE = "serving_default"
FEATURE = "x"
STEPS = ("__saved_model_init_op", "__saved_model_train_op")  # TensorFlow 2 keeps them among the signatures


def describe_signatures(signatures: Mapping[str, Any]) -> dict[str, Any]:
    """Signature -> method, and name, dtype and shape of each input and output (-1: any size; None: any rank)."""

    def tensors(infos: Mapping[str, Any]) -> dict[str, Any]:
        return {key: {"dtype": tf.as_dtype(infos[key].dtype).name, "shape": shape(infos[key])} for key in sorted(infos)}

    def shape(info: Any) -> list[int] | None:
        return None if info.tensor_shape.unknown_rank else [int(dim.size) for dim in info.tensor_shape.dim]

    return {
        name: {
            "method": signature.method_name,
            "inputs": tensors(signature.inputs),
            "outputs": tensors(signature.outputs),
        }
        for name, signature in sorted(signatures.items())
        if name not in STEPS
    }


def as_floats(images: NDArray[np.uint8], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """uint8 with values 0 to 255 -> float32 in [0, 1], as the tutorial's clients send them; into `out` if given."""
    return np.multiply(images, np.float32(1.0 / 255.0), out=out, dtype=np.float32)


def as_example(image: NDArray[np.float32]) -> bytes:
    """One image float32 [784] as a serialised `tf.Example` with the feature `x`."""
    return _as_example(image.tobytes())


@lru_cache(maxsize=256)  # every version of a run is asked about the same images
def _as_example(image: bytes) -> bytes:
    floats = tf.train.FloatList(value=np.frombuffer(image, np.float32).tolist())
    features = tf.train.Features(feature={FEATURE: tf.train.Feature(float_list=floats)})
    return bytes(tf.train.Example(features=features).SerializeToString())
