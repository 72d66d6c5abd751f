"""What a model is shown and asked."""

import subprocess
import sys

from tasks.model.images import Form
from tests.conftest import ROOT


def test_a_form_says_how_many_values_and_classes_there_are():
    """Height, width and channels make the values of an image; each class has a name."""
    form = Form((32, 30, 3), ("a", "b"))
    assert (2880, 2) == (form.pixels, form.classes)


def test_a_form_costs_no_import():
    """Neither NumPy nor TensorFlow is imported for it: a run that finds nothing to do reads it too."""
    code = "import sys, tasks.model.images; sys.exit(bool({'numpy', 'tensorflow'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
