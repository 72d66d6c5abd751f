"""The names that a recipe can choose from."""

import pytest

from tasks.errors import InvalidParameter
from tasks.recipes.registry import Registry


def test_a_name_that_is_not_registered_is_refused():
    """The error names the key, the name, and all that are registered."""
    registry = Registry("model")
    registry.update(b=1, a=2)
    assert 1 == registry.find("b")
    with pytest.raises(InvalidParameter, match=r"^model = 'c': unknown; allowed are a, b$"):
        registry.find("c")
