"""Where each value of a recipe comes from.

A key is looked up on the command line, in `[recipe.N]` of luigi.cfg, in `[recipe]`, and at last in the defaults: the
model's own for optimizer and learning rate, those of the table of keys for the rest. Keys of another section, as
`threads` of `[training]`, are looked up there. Every task is made with completed values, so that a version asked for
alone and the same version asked for in a set are one and the same task.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from luigi.configuration import get_config

from tasks.data.dataset import DATASETS
from tasks.errors import InvalidParameter
from tasks.model import optimizers  # noqa: F401 - registers them
from tasks.model.architectures import ARCHITECTURES
from tasks.recipes.checks import Value
from tasks.recipes.recipe import KEYS
from tasks.versions.numbers import parse_version
from tasks.wiring.execution_settings import EXECUTION, SETTINGS, chosen_cluster

RECIPE = "recipe"
SECTIONS = {one.section: [name for name, key in KEYS.items() if key.section == one.section] for one in KEYS.values()}
SECTIONS[EXECUTION] = list(SETTINGS)
OPTIONS = {KEYS[name].option for name in SECTIONS[RECIPE]}
OF_THE_MODEL = ("optimizer", "learning_rate")  # keys for which each model has a default of its own
TASKS = ("ExportVersion", "ExportAllVersions", "TrainModel")  # whose sections may not hold keys of a recipe


def complete_values(given: Mapping[str, Any], version: int | None = None) -> dict[str, Value | None]:
    """Complete and check the keys that are in `given`, where None stands for not given.

    Args:
        given: key -> value or its text, from the command line or a call.
        version: whose `[recipe.N]` applies; None for no section but `[recipe]`.

    Returns:
        Key -> value; None only for a gate that is not set.

    Raises:
        InvalidParameter: an unknown key, a value that is not allowed, or a key in a section where it has no effect.
    """
    check_config(len(get_config()))
    values = {name: _look_up(name, given[name], version) for name in KEYS if name in given}
    if "model" in values:
        model = str(values["model"])
        values.update({name: default_value(name, model) for name in OF_THE_MODEL if values[name] is None})
    if "batch_size" in values:
        available = DATASETS[str(values["dataset"])].training_images
        if int(values["batch_size"] or 0) > available:
            raise InvalidParameter(
                f"batch_size = {values['batch_size']}: dataset {values['dataset']!r} has {available:,} training "
                f"images; allowed are whole numbers from 1 to {available:,}"
            )
    return values


def default_value(name: str, model: str) -> Value | None:
    """What a key is where nobody says anything; a registered `model` where the key is one of OF_THE_MODEL."""
    return getattr(ARCHITECTURES[model], name) if name in OF_THE_MODEL else KEYS[name].default


@lru_cache(maxsize=8)
def check_config(_: int) -> None:
    """Make sure that whatever luigi.cfg says about recipes has an effect; raises InvalidParameter.

    Once for each number of sections: to look at thousands of them for each task would cost more than all else.
    """
    for section in get_config().sections():
        keys = [key.replace("-", "_") for key in get_config()[section]]
        name, dot, version = section.partition(".")
        if section in TASKS:
            misplaced = [key for key in keys if key in SECTIONS[RECIPE] or key in OPTIONS]
            if misplaced:
                raise InvalidParameter(
                    f"luigi.cfg [{section}] {misplaced[0]}: recipe keys belong under [recipe] (all versions) "
                    f"or [recipe.N] (version N)"
                )
        elif section in SECTIONS or (name == RECIPE and dot):
            unknown = [key for key in keys if key not in SECTIONS[name]]
            if unknown:
                allowed = ", ".join(SECTIONS[name])
                raise InvalidParameter(f"luigi.cfg [{section}] {unknown[0]}: unknown key; allowed are {allowed}")
            if dot:
                _check_version(section, version)
            else:
                _check_values(section, keys)
        elif section.lower().startswith(RECIPE):
            raise InvalidParameter(
                f"luigi.cfg [{section}]: not read; allowed are [recipe] (all versions) and [recipe.N] (version N)"
            )


def _check_values(section: str, keys: list[str]) -> None:
    if section == EXECUTION:
        chosen_cluster()
    elif section != RECIPE:  # a model in [recipe] may be registered by a module of which this run knows nothing
        for key in keys:
            _look_up(key, None, None)


def _look_up(name: str, given: Any, version: int | None) -> Value | None:
    key = KEYS[name]
    if given is not None:
        return key.check.check_value(name, given)
    config = get_config()
    own = [f"{RECIPE}.{version}"] if key.section == RECIPE and version is not None else []
    for section in [*own, key.section]:
        if config.has_option(section, name):
            return key.check.check_value(name, config.get(section, name), f"luigi.cfg [{section}] ")
    return key.default


def _check_version(section: str, version: str) -> None:
    try:
        parse_version(version)
    except InvalidParameter as error:
        raise InvalidParameter(f"luigi.cfg [{section}]: {error}") from None
