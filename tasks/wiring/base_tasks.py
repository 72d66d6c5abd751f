"""The parameters that the tasks of the chain share, and how they get their values.

Each task is made with a completed recipe: `tasks.recipes` says where a value that was not given comes from.
"""

from __future__ import annotations

from typing import Any

import luigi

from tasks.wiring import recipe_lookup as recipes
from tasks.wiring.failures import ReportedTask
from tasks.wiring.parameters import FolderParameter, RecipeParameter


class RecipeTask(ReportedTask):
    """A task that is made with a completed recipe: what was not given is filled in before Luigi makes the task id."""

    dataset = RecipeParameter("mnist, or digits for a machine without a network")
    work_dir = FolderParameter(default="work", description="folder for archives, arrays and trainings")

    @classmethod
    def get_param_values(cls, params: Any, args: Any, kwargs: Any) -> list[tuple[str, Any]]:
        """Complete and check the values; raises InvalidParameter."""
        # A set hands on None for what it was not given: what --ExportVersion-... or [ExportVersion] say holds then
        given = {name: value for name, value in kwargs.items() if value is not None}
        values = dict(super().get_param_values(params, args, given))
        completed = recipes.complete(values, values.get("version"))
        return [(name, completed.get(name, values[name])) for name, _ in params]


class TrainingTask(RecipeTask):
    """The parameters of all that trains or exports: see `tasks.recipes` for where their values come from."""

    model = RecipeParameter("softmax, cnn, or one of your own")
    training_iteration = RecipeParameter("training iterations, one batch each")
    batch_size = RecipeParameter("images in a batch")
    optimizer = RecipeParameter("sgd, momentum or adam; each model has its own default")
    learning_rate = RecipeParameter("on the mean loss of a batch; each model has its own default")
    schedule = RecipeParameter("of the learning rate: constant, linear or cosine")
    seed = RecipeParameter("of the first weights and of the order of the data")
    threads = RecipeParameter("TensorFlow's threads in each process, part of what shapes the weights")


class ExportTask(TrainingTask):
    """The parameters of all that exports: where to, what a version carries, and what it has to pass."""

    base_path = FolderParameter(default="models/mnist", description="the folder that TensorFlow Serving watches")
    warmup_records = RecipeParameter("requests that the server replays before a version is available, 0 to 1000")
    min_accuracy = RecipeParameter("validation accuracy below which nothing is published, 0 to 1")
    max_regression = RecipeParameter("how far validation accuracy may lie below that of the label stable, 0 to 1")
    config_path = FolderParameter(default="models/models.config", description="the server's config file, with labels")
    allow_signature_change = luigi.BoolParameter(description="publish it even if clients of stable will be refused")
