"""Importing this imports TensorFlow as a run does: fast, and without its start-up lines between the tests' dots.

The environment is put back but for what TensorFlow reads later than at its import, so that processes which tests start
have to be quiet by themselves.
"""

import os

from tasks.model.tensorflow_setup import SETTINGS, prepare_tensorflow

_before = dict(os.environ)
prepare_tensorflow(1)
for _name in set(os.environ) - set(_before):
    del os.environ[_name]
os.environ.update({**_before, **SETTINGS})
