"""What an image is: rooms that may not import each other agree on it."""

import subprocess
import sys

from tasks.data import dataset
from tasks.model import images
from tests.conftest import ROOT


def test_data_and_model_agree_on_an_image():
    """What is decoded has the size and the number of classes that is trained on."""
    for name in ("IMAGE_SIDE", "PIXELS", "CLASSES"):
        assert getattr(dataset, name) == getattr(images, name)


def test_the_numbers_cost_no_import():
    """Neither NumPy nor TensorFlow is imported for them: a run that finds nothing to do reads them too."""
    code = "import sys, tasks.model.images; sys.exit(bool({'numpy', 'tensorflow'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
