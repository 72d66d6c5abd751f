"""Checks of single values; `tests/wiring/test_recipe_lookup.py` tries them on every key."""

import pytest

from tasks.errors import InvalidParameter
from tasks.recipes.checks import number, one_of, whole_number


@pytest.mark.parametrize("value", [1, "1", " 1 ", "+1", "01"])
def test_a_whole_number_may_be_text(value):
    """A number and the text of one are the same value."""
    assert 1 == whole_number(1, 9).check_value("n", value)


def test_a_refusal_says_where_what_and_what_is_allowed():
    """The three parts of a line that a user can act on."""
    check = number("a number above 2", lambda value: value > 2)
    with pytest.raises(InvalidParameter, match=r"^luigi.cfg \[x\] n = '1': allowed is a number above 2$"):
        check.check_value("n", "1", "luigi.cfg [x] ")


@pytest.mark.parametrize("check", [number("a number", lambda _: True), whole_number(1, 9)])
@pytest.mark.parametrize("value", [10**400, "1e999", float("nan"), "\0", None, [], "9" * 5000])
def test_what_no_float_holds_is_refused(check, value):
    """However large a number is, and of whatever type a value."""
    with pytest.raises(InvalidParameter, match=r"^n = .*: allowed is a"):
        check.check_value("n", value)


def test_names_that_are_registered_later_are_allowed_too():
    """The names are looked up when a value is checked."""
    names = {"a": 1}
    check = one_of(names)
    names["b"] = 2
    assert "b" == check.check_value("n", "b")
    assert "one of a, b" == check.allowed()
