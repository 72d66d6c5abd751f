"""Where trainings and exports run: `[execution]` of luigi.cfg. It shapes no byte, and is no part of a task's id."""

import re
from importlib.util import find_spec
from typing import Any

from luigi.configuration import get_config

from tasks.errors import InvalidParameter
from tasks.recipes.checks import Check, one_of

EXECUTION = "execution"
ENGINES = ("local", "dask")  # the first is the default


def _scheduler_address(value: Any) -> str:
    if not re.fullmatch(r"(tcp|tls)://([\w.-]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}", value):
        raise ValueError
    return str(value)


SETTINGS = {
    "engine": one_of(ENGINES),
    "dask_scheduler": Check(_scheduler_address, lambda: "an address such as tcp://host:8786"),
}


def chosen_cluster() -> str | None:
    """The address of the Dask scheduler whose workers compute; None where this machine does.

    Raises:
        InvalidParameter: a value that is not allowed, `engine = dask` without an address, or without Dask.
    """
    config = get_config()
    found = {
        name: check.check_value(name, config.get(EXECUTION, name), f"luigi.cfg [{EXECUTION}] ")
        for name, check in SETTINGS.items()
        if config.has_option(EXECUTION, name)
    }
    if found.get("engine", ENGINES[0]) == ENGINES[0]:
        return None
    if "dask_scheduler" not in found:
        raise InvalidParameter(
            f"luigi.cfg [{EXECUTION}] engine = dask: needs dask_scheduler beside it, an address such as tcp://host:8786"
        )
    if find_spec("distributed") is None:
        raise InvalidParameter(
            f"luigi.cfg [{EXECUTION}] engine = dask: the package distributed is not installed; "
            "pip install -e '.[dask]' installs it"
        )
    return str(found["dask_scheduler"])
