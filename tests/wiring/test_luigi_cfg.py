"""The shipped luigi.cfg: what it shows as a default is one, and holds when it is uncommented."""

import configparser
import re

import pytest

import tasks
from tasks.data.dataset import MNIST
from tasks.recipes.recipe import KEYS
from tasks.wiring import luigi_defaults as runtime
from tests.conftest import ROOT

TEXT = (ROOT / "luigi.cfg").read_text(encoding="utf-8")


def shown():
    """The commented defaults: (section, key, value)."""
    uncommented, commented = configparser.ConfigParser(), configparser.ConfigParser()
    uncommented.read_string(re.sub(r"^#(?=\w)", "", TEXT, flags=re.MULTILINE))
    commented.read_string(TEXT)
    return [
        (section, key, value)
        for section in uncommented.sections()
        for key, value in uncommented[section].items()
        if key not in commented[section]
    ]


def default(section, key, value):
    """The default in the code, and the value as it is read."""
    if key in KEYS and section == KEYS[key].section:
        return KEYS[key].default, KEYS[key].check.check_value(key, value)
    if section in runtime.DEFAULTS:
        return runtime.DEFAULTS[section][key], value
    if (section, key) == ("DownloadDataset", "mirrors"):
        return MNIST.mirrors, tuple(value.split(","))
    if section == "distribution":
        parameter = getattr(tasks.PushVersions, key)
        return parameter.normalize(None), parameter.normalize(value)
    task = getattr(tasks, section)
    parameter = dict(task.get_params())[key]
    return parameter.task_value(section, key), parameter.normalize(parameter.parse(value))


@pytest.mark.parametrize(("section", "key", "value"), shown())
def test_a_commented_line_is_the_default(section, key, value):
    """Whoever takes a # away changes nothing yet."""
    expected, found = default(section, key, value)
    assert expected == found


def test_every_default_is_shown():
    """Each setting of recipes, training, export and Luigi that has one default in the code is in the file."""
    expected = {key for settings in runtime.DEFAULTS.values() for key in settings} | {
        name for name, key in KEYS.items() if key.default is not None
    }
    assert expected <= {key for _, key, _ in shown()}
