"""TensorFlow with the settings of a run, and a little data to train on."""

import pytest

from tests import quiet_tensorflow, small  # isort: skip - before anything else imports TensorFlow
from tasks.model.tensorflow_setup import prepare_tensorflow

__all__ = ["quiet_tensorflow"]

prepare_tensorflow(threads=1)  # possible only before the first op of the process; it shapes the bits of a training


@pytest.fixture(scope="session")
def data():
    """Images uint8 [200, 784] and labels uint8 [200]."""
    images, labels = small.make_images(200, seed=3)
    return images.reshape(-1, 784), labels
