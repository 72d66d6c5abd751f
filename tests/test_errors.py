"""The errors that a user can meet."""

import inspect
from pathlib import Path

import pytest

from tasks import errors
from tasks.errors import InvalidParameter, PipelineError

ERRORS = [error for _, error in inspect.getmembers(errors, inspect.isclass) if error is not PipelineError]
SOURCES = "\n".join(path.read_text() for path in Path(errors.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("error", ERRORS)
def test_each_error_is_the_pipelines_own_and_is_raised(error):
    """Whoever catches PipelineError catches all of them, and none of them is left over."""
    assert issubclass(error, PipelineError)
    assert f"raise {error.__name__}(" in SOURCES


def test_a_value_that_is_not_allowed_is_a_value_error():
    """Code that calls with a wrong value sees what Python itself would raise."""
    assert issubclass(InvalidParameter, ValueError)
