"""What the tasks of the chain share: their parameters and how these are completed."""

import pytest

from tasks import ExportAllVersions
from tasks.errors import InvalidParameter
from tasks.recipes.recipe import KEYS, ActsOn
from tasks.wiring.base_tasks import CompletedTask, DataParameters, ExportParameters, TrainingParameters

OF_WEIGHTS = {name for name, key in KEYS.items() if key.acts_on in {ActsOn.DATA, ActsOn.WEIGHTS}}


class Training(CompletedTask, TrainingParameters):
    """A task that is made with a completed recipe."""


def keys_of(task_class):
    return {name for name, key in KEYS.items() if hasattr(task_class, key.option)}


def test_a_task_has_the_keys_that_act_on_what_it_makes():
    """What does not change its output is no parameter of a task, so tasks that differ in it alone are one task."""
    assert {"dataset"} == keys_of(DataParameters)
    assert OF_WEIGHTS == keys_of(TrainingParameters)
    assert set(KEYS) - {"segment"} == keys_of(ExportParameters)


def test_a_task_is_made_with_completed_values():
    """What is not given is filled in first, so both are one task."""
    assert Training() is Training(model="softmax", optimizer="sgd", learning_rate="0.5", seed=None)
    assert 0.5 == Training().learning_rate


def test_a_recipe_has_the_keys_that_a_task_lacks_at_their_defaults():
    """Whoever trains needs no gate, but the recipe has one."""
    recipe = Training(seed=7).recipe
    assert (7, KEYS["min_accuracy"].default) == (recipe.seed, recipe.min_accuracy)


def test_a_key_is_known_by_its_name_and_as_an_option():
    """`schedule` is called otherwise on the command line, where Luigi would take it for an option of its own."""
    assert Training(schedule="linear") is Training(learning_rate_schedule="linear")
    assert "linear" == Training(schedule="linear").recipe.schedule
    assert "linear" == ExportAllVersions(versions=1, schedule="linear").exports[0].recipe.schedule


def test_a_value_that_is_not_allowed_makes_no_task():
    """It is refused where the task is made."""
    with pytest.raises(InvalidParameter, match="seed = '-1'"):
        Training(seed="-1")
