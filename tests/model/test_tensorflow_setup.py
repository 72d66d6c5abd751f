"""TensorFlow as every process has it: the conftest of this folder has made the settings for this one."""

import json
import subprocess
import sys

import pytest
import tensorflow as tf

from tasks.errors import InvalidParameter
from tasks.model.tensorflow_setup import prepare_tensorflow
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def _first_op():
    """TensorFlow is in use, and its threads are there."""
    assert 2 == int(tf.constant(1) + 1)


def test_threads_are_those_asked_for():
    """The pool within an op has as many threads as the recipe says, and ops do not run beside each other."""
    assert 1 == tf.config.threading.get_intra_op_parallelism_threads()
    assert 1 == tf.config.threading.get_inter_op_parallelism_threads()


def test_the_same_threads_may_be_asked_for_again():
    """Each task of a run asks, and only the first changes anything."""
    prepare_tensorflow(1)
    assert 1 == tf.config.threading.get_intra_op_parallelism_threads()


def test_other_threads_are_refused():
    """A second value in one process is an error that names both and the rule."""
    with pytest.raises(
        InvalidParameter, match=r"^threads = 2: this process runs with 1 already; one value is allowed in a process$"
    ):
        prepare_tensorflow(2)


PREPARE = """
import gc, json, sys
from tasks.errors import InvalidParameter
from tasks.model.tensorflow_setup import prepare_tensorflow

light = not {"tensorflow", "numpy"} & set(sys.modules)
prepare_tensorflow(2)
import tensorflow as tf
assert 3 == int(tf.constant(1) + 2)
prepare_tensorflow(2)
try:
    prepare_tensorflow(1)
    refusal = None
except InvalidParameter as error:
    refusal = str(error)
sklearn_left_out = "sklearn" not in sys.modules
import sklearn
print(json.dumps([light, refusal, gc.isenabled(), sklearn_left_out, tf.config.list_physical_devices("GPU")]))
"""


def test_tensorflow_is_prepared_once(tmp_path):
    """It comes when it is asked for, in silence, on the CPU, and with one number of threads for good."""
    result = subprocess.run(
        [sys.executable, "-c", PREPARE],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ("", 0) == (result.stderr, result.returncode)
    refusal = "threads = 1: this process runs with 2 already; one value is allowed in a process"
    assert [True, refusal, True, True, []] == json.loads(result.stdout)


FIRST_SESSION = """
import hashlib, sys
from tasks.model.tensorflow_setup import in_this_thread, prepare_tensorflow
prepare_tensorflow(1)
import tensorflow as tf
from tasks.model import training
from tests import small

if sys.argv[1] == "export first":
    with tf.Graph().as_default(), tf.compat.v1.Session(config=in_this_thread()) as session:
        assert 3 == session.run(tf.constant(1) + 2)
images, labels = small.make_images(200, seed=3)
state = training.train(
    small.make_recipe(model="cnn", batch_size=100), images.reshape(-1, 784), labels,
    form=small.FORM, total_iterations=0, start=0, stop=10, state=None, report=lambda *_: None,
)
print(hashlib.sha256(b"".join(state[name].tobytes() for name in sorted(state))).hexdigest())
"""


@pytest.mark.long
def test_what_an_engine_did_before_changes_no_bit(tmp_path):
    """The first session of a process fixes its threads: one for an export fixes them to the same number."""
    found = {
        subprocess.run(
            [sys.executable, "-c", FIRST_SESSION, first],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for first in ("export first", "train first")
    }
    assert 1 == len(found)
