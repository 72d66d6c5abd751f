"""Recipes: what makes one version differ from another, and where each value comes from.

A key is looked up on the command line, in `[recipe.N]` of luigi.cfg, in `[recipe]`, and at last in the defaults:
the model's own for optimizer and learning rate, `DEFAULTS` for the rest. Every task is made with the completed
recipe, so that a version asked for alone and the same version asked for in a set are one and the same task.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from luigi.configuration import get_config

from tasks.data.dataset import DATASETS, find_dataset
from tasks.errors import InvalidParameter
from tasks.model.architectures import ARCHITECTURES, find_architecture
from tasks.model.optimizers import OPTIMIZERS, SCHEDULES
from tasks.wiring.parameters import Check, Value, checked, parse_version

MOST_ITERATIONS = 10_000_000
GATES = ("min_accuracy",)  # keys that decide whether a version is published, and shape none of its bytes


@dataclass(frozen=True)
class Recipe:
    """All that makes one version differ from another; the field names are the keys in luigi.cfg."""

    dataset: str
    model: str
    training_iteration: int
    batch_size: int
    optimizer: str
    learning_rate: float
    schedule: str
    seed: int
    min_accuracy: float

    def shaping(self) -> dict[str, Value]:
        """The keys that shape the bytes of the version: all but the gates."""
        return {key: value for key, value in asdict(self).items() if key not in GATES}


def whole_number(low: int, high: int) -> Check:
    """Accept an int, or the text of one, from `low` to `high`."""

    def check(value: Any) -> int:
        text = str(value).strip()
        if isinstance(value, bool) or not re.fullmatch(r"[+-]?[0-9]{1,19}", text) or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low:,} to {high:,}")
        return int(text)

    return check


def number(allowed: str, accept: Callable[[float], bool]) -> Check:
    """Accept a finite float, or the text of one, for which `accept` is true."""

    def check(value: Any) -> float:
        try:
            found = float(value)
        except (TypeError, ValueError):
            raise ValueError(allowed) from None
        if not math.isfinite(found) or not accept(found):
            raise ValueError(allowed)
        return found

    return check


def one_of(names: Mapping[str, Any] | tuple[str, ...]) -> Check:
    """Accept one of `names`, as they are when asked."""

    def check(value: Any) -> str:
        if value not in names:
            raise ValueError("one of " + ", ".join(sorted(names)))
        return str(value)

    return check


KEYS: dict[str, Check] = {
    "dataset": one_of(DATASETS),
    "model": one_of(ARCHITECTURES),
    "training_iteration": whole_number(1, MOST_ITERATIONS),
    "batch_size": whole_number(1, 1_000_000),
    "optimizer": one_of(OPTIMIZERS),
    "learning_rate": number("a finite number above 0", lambda rate: rate > 0),
    "schedule": one_of(SCHEDULES),
    "seed": whole_number(0, 2**32 - 1),
    "min_accuracy": number("a number from 0 to 1", lambda accuracy: 0 <= accuracy <= 1),
}
TRAINING_KEYS: dict[str, Check] = {"threads": whole_number(1, 256), "segment": whole_number(1, MOST_ITERATIONS)}
EXPORT_KEYS: dict[str, Check] = {
    "warmup_records": whole_number(0, 1000),  # TensorFlow Serving's limit
    "max_regression": number("a number from 0 to 1", lambda regression: 0 <= regression <= 1),
}

# The tutorial's hyperparameters; optimizer and learning rate are the model's own.
DEFAULTS: dict[str, Value] = {
    "dataset": "mnist",
    "model": "softmax",
    "training_iteration": 1000,
    "batch_size": 50,
    "schedule": "constant",
    "seed": 0,
    "min_accuracy": 0.0,
    "threads": 1,
    "segment": 1000,
    "warmup_records": 3,
}


def complete(given: Mapping[str, Any], version: int | None = None) -> dict[str, Any]:
    """The completed recipe of a version and all other settings that its tasks have: key -> value.

    Args and Raises: as `complete_recipe`.
    """
    recipe = complete_recipe(given, version)
    return {
        **asdict(recipe),
        **{key: training_setting(key, given.get(key)) for key in TRAINING_KEYS},
        **{key: export_setting(key, given.get(key)) for key in EXPORT_KEYS},
        "total_iterations": total_iterations(recipe.schedule, recipe.training_iteration, given.get("total_iterations")),
    }


def complete_recipe(given: Mapping[str, Any], version: int | None = None) -> Recipe:
    """Complete what was given on the command line or in a call.

    Args:
        given: key -> value or its text; None means not given. Other keys than those of a recipe are ignored.
        version: whose `[recipe.N]` applies; None for no section but `[recipe]`.

    Raises:
        InvalidParameter: an unknown key, a value that is not allowed, or a key in a section where it has no effect.
    """
    check_config(tuple(get_config().sections()))
    sections = ([f"recipe.{version}"] if version is not None else []) + ["recipe"]
    values = {key: _look_up(key, check, given, sections) for key, check in KEYS.items()}
    own = find_architecture(str(values["model"]))
    values["optimizer"] = values["optimizer"] or own.optimizer
    values["learning_rate"] = values["learning_rate"] or own.learning_rate
    recipe = Recipe(**values)  # type: ignore[arg-type]  # each value has passed its key's check
    available = find_dataset(recipe.dataset).training_images
    if recipe.batch_size > available:
        raise InvalidParameter(
            f"batch_size = {recipe.batch_size}: dataset {recipe.dataset!r} has {available:,} training images; "
            f"allowed are whole numbers from 1 to {available:,}"
        )
    return recipe


def training_setting(key: str, given: Any = None) -> int:
    """`threads` or `segment`: as given, or from `[training]`, or the default.

    Raises:
        InvalidParameter: not a whole number that makes sense.
    """
    return int(_look_up(key, TRAINING_KEYS[key], {key: given}, ["training"]) or 0)


def export_setting(key: str, given: Any = None) -> Value | None:
    """A setting of `[export]`: as given, or from there, or the default; None for a gate that is not set.

    Raises:
        InvalidParameter: a value that is not allowed.
    """
    return _look_up(key, EXPORT_KEYS[key], {key: given}, ["export"])


def total_iterations(schedule: str, training_iteration: int, given: Any = None) -> int:
    """After how many iterations the schedule of a training ends; 0 for one that does not, or it could not be shared.

    Raises:
        InvalidParameter: what was given is no whole number, or lies before `training_iteration`.
    """
    if schedule == "constant":
        return 0
    if given is None:
        return training_iteration
    return int(checked("total_iterations", whole_number(training_iteration, MOST_ITERATIONS), given))


@lru_cache(maxsize=8)
def check_config(sections: tuple[str, ...]) -> None:
    """Make sure that whatever luigi.cfg says about recipes has an effect.

    Raises:
        InvalidParameter: it has not; the text names section, key, and what is allowed or where it belongs.
    """
    for section in sections:
        keys = [key.replace("-", "_") for key in get_config()[section]]
        if section in {"ExportVersion", "ExportAllVersions", "TrainModel"}:
            for key in keys:
                if key in KEYS:
                    raise InvalidParameter(
                        f"luigi.cfg [{section}] {key}: recipe keys belong under [recipe] (all versions) "
                        f"or [recipe.N] (version N)"
                    )
        elif section == "training":
            _refuse_unknown(section, keys, TRAINING_KEYS)
        elif section == "export":
            _refuse_unknown(section, keys, EXPORT_KEYS)
        elif section == "recipe" or section.startswith("recipe."):
            _refuse_unknown(section, keys, KEYS)
            if section != "recipe":
                _refuse_non_version(section)
        elif section.lower().startswith("recipe"):
            raise InvalidParameter(
                f"luigi.cfg [{section}]: not read; allowed are [recipe] (all versions) and [recipe.N] (version N)"
            )


def _look_up(key: str, check: Check, given: Mapping[str, Any], sections: list[str]) -> Value | None:
    if given.get(key) is not None:
        return checked(key, check, given[key])
    config = get_config()
    for section in sections:
        if config.has_option(section, key):
            return checked(key, check, config.get(section, key), f"luigi.cfg [{section}] ")
    return DEFAULTS.get(key)


def _refuse_unknown(section: str, keys: list[str], allowed: Mapping[str, Any]) -> None:
    for key in keys:
        if key not in allowed:
            raise InvalidParameter(f"luigi.cfg [{section}] {key}: unknown key; allowed are {', '.join(allowed)}")


def _refuse_non_version(section: str) -> None:
    try:
        parse_version(section.removeprefix("recipe."))
    except InvalidParameter as error:
        raise InvalidParameter(f"luigi.cfg [{section}]: {error}") from None
