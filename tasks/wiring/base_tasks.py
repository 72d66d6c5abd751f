"""The parameters that the tasks of the chain share: one for each key of a recipe that matters to the task."""

import logging
import os
from collections.abc import Callable
from typing import Any

import luigi

from tasks.recipes.recipe import KEYS, ActsOn, Recipe
from tasks.storage.object_store import parse_url
from tasks.versions.tree import check_apart
from tasks.wiring.failures import ReportedTask
from tasks.wiring.parameters import (
    BasePathParameter,
    DistributionParameter,
    FlagParameter,
    FolderParameter,
    HostParameter,
    RecipeParameter,
)
from tasks.wiring.recipe_lookup import complete_values, default_value

logger = logging.getLogger(__name__)


def with_keys_that_decide(*what: ActsOn) -> Callable[[type], type]:
    """Give a task class a parameter for each key of the table that decides one of these."""

    def add_parameters(task_class: type) -> type:
        for key in KEYS.values():
            if key.acts_on in what:
                parameter = RecipeParameter(key)
                parameter.__set_name__(task_class, key.option)
                setattr(task_class, key.option, parameter)
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
        values: dict[str, Any] = {name: getattr(self, key.option, key.default) for name, key in KEYS.items()}
        return Recipe(**values)

    def warn_of_threads(self) -> None:
        """Say so where more threads are asked for than there are cores."""
        cores, threads = os.cpu_count() or 1, getattr(self, "threads", 1)
        if threads > cores:
            logger.warning("threads = %d: this machine has %d cores; more threads make it slower", threads, cores)


class BucketParameters:
    """Where a bucket is."""

    bucket = DistributionParameter("s3://bucket/prefix, gs://bucket/prefix or a folder", parse_url)
    endpoint_url = DistributionParameter("where S3 is spoken, if not at Amazon")


@with_keys_that_decide(ActsOn.VERSION, ActsOn.GATE)
class ExportParameters(TrainingParameters, BucketParameters):
    """What all tasks that export have: where to, what a version carries, and what it has to pass."""

    base_path = BasePathParameter(default="models/mnist", description="the folder that TensorFlow Serving watches")
    config_path = FolderParameter(default="models/models.config", description="the server's config file, with labels")
    host = HostParameter()
    allow_signature_change = FlagParameter(description="publish it even if clients of stable will be refused")


class RecipeTask(ReportedTask):
    """A task with keys of a recipe; in a call they may also be given by their own names, as a manifest has them."""

    @classmethod
    def get_param_values(cls, params: Any, args: Any, kwargs: Any) -> list[tuple[str, Any]]:
        return super().get_param_values(params, args, {_option(name): value for name, value in kwargs.items()})


class CompletedTask(RecipeTask):
    """A task that is made with a completed recipe: what was not given is filled in before Luigi makes the task id."""

    @classmethod
    def get_param_values(cls, params: Any, args: Any, kwargs: Any) -> list[tuple[str, Any]]:
        """Complete and check the values; raises InvalidParameter."""
        # A set hands on None for what it was not given: what --ExportVersion-... or [ExportVersion] say holds then
        given = {name: value for name, value in kwargs.items() if value is not None}
        values = dict(super().get_param_values(params, args, given))
        recipe = {name: values[key.option] for name, key in KEYS.items() if key.option in values}
        if any(value is None for value in recipe.values()):
            completed = complete_values(recipe, values.get("version"))
            values.update({_option(name): value for name, value in completed.items()})
        if "base_path" in values:
            check_apart(values["base_path"], values["work_dir"])
        return [(name, values[name]) for name, _ in params]

    @property
    def priority(self) -> float:
        """The lowest version first, with all that it needs: Luigi hands a priority on where it is above 0."""
        version = getattr(self, "version", None)
        return round(1 / version, 2 * len(str(version))) if version else 0  # digits to tell it from its neighbours

    def default_of(self, parameter: luigi.Parameter) -> Any:
        """For a key of a recipe, what the table or the model says, whatever luigi.cfg has made of it."""
        if isinstance(parameter, RecipeParameter):
            return default_value(parameter.key.name, getattr(self, "model", ""))
        return super().default_of(parameter)


def _option(name: str) -> str:
    return KEYS[name].option if name in KEYS else name
