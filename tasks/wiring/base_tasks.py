"""The parameters that the tasks of the chain share: one for each key of a recipe that matters to the task."""

from collections.abc import Callable
from typing import Any

import luigi

from tasks.recipes.recipe import KEYS, ActsOn, Recipe
from tasks.storage.object_store import parse_url
from tasks.wiring.failures import ReportedTask
from tasks.wiring.parameters import DistributionParameter, FolderParameter, HostParameter, RecipeParameter
from tasks.wiring.recipe_lookup import complete_values


def with_keys_that_decide(*what: ActsOn) -> Callable[[type], type]:
    """Give a task class a parameter for each key of the table that decides one of these."""

    def add_parameters(task_class: type) -> type:
        for name, key in KEYS.items():
            if key.acts_on in what:
                parameter = RecipeParameter(key)
                parameter.__set_name__(task_class, name)
                setattr(task_class, name, parameter)
        return task_class

    return add_parameters


@with_keys_that_decide(ActsOn.DATA)
class DataParameters:
    """What all tasks of the chain have."""

    work_dir = FolderParameter(default="work", description="folder for archives, arrays and trainings")


@with_keys_that_decide(ActsOn.WEIGHTS)
class TrainingParameters(DataParameters):
    """What all tasks that train or export have."""

    @property
    def recipe(self) -> Recipe:
        """The completed recipe; keys that this task does not have are at their defaults."""
        values: dict[str, Any] = {name: getattr(self, name, key.default) for name, key in KEYS.items()}
        return Recipe(**values)


class BucketParameters:
    """Where a bucket is."""

    bucket = DistributionParameter("s3://bucket/prefix, gs://bucket/prefix or a folder", parse_url)
    endpoint_url = DistributionParameter("where S3 is spoken, if not at Amazon")


@with_keys_that_decide(ActsOn.VERSION, ActsOn.GATE)
class ExportParameters(TrainingParameters, BucketParameters):
    """What all tasks that export have: where to, what a version carries, and what it has to pass."""

    base_path = FolderParameter(default="models/mnist", description="the folder that TensorFlow Serving watches")
    config_path = FolderParameter(default="models/models.config", description="the server's config file, with labels")
    host = HostParameter()
    allow_signature_change = luigi.BoolParameter(description="publish it even if clients of stable will be refused")


class CompletedTask(ReportedTask):
    """A task that is made with a completed recipe: what was not given is filled in before Luigi makes the task id."""

    @classmethod
    def get_param_values(cls, params: Any, args: Any, kwargs: Any) -> list[tuple[str, Any]]:
        """Complete and check the values; raises InvalidParameter."""
        # A set hands on None for what it was not given: what --ExportVersion-... or [ExportVersion] say holds then
        given = {name: value for name, value in kwargs.items() if value is not None}
        values = dict(super().get_param_values(params, args, given))
        if any(values[name] is None for name in KEYS if name in values):
            values.update(complete_values(values, values.get("version")))
        return [(name, values[name]) for name, _ in params]
