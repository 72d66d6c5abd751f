"""The settings that can be made once: the conftest of this folder has made them for this process."""

import pytest
import tensorflow as tf

from tasks.errors import InvalidParameter
from tasks.model.tensorflow_setup import fix_settings


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
    fix_settings(1)
    assert 1 == tf.config.threading.get_intra_op_parallelism_threads()


def test_other_threads_are_refused():
    """A second value in one process is an error that names both and the rule."""
    with pytest.raises(
        InvalidParameter, match=r"^threads = 2: this process runs with 1 already; one value is allowed in a run$"
    ):
        fix_settings(2)
