"""The shipped luigi.cfg: what it shows as a default is one, and holds when it is uncommented."""

import configparser
import os
import re
import subprocess
import sys

import pytest

import tasks
from tasks.data.dataset import MNIST
from tasks.recipes.recipe import KEYS
from tasks.wiring import luigi_defaults as runtime
from tasks.wiring.execution_settings import ENGINES, EXECUTION, SETTINGS
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
    if (section, key) == (EXECUTION, "engine"):
        return ENGINES[0], SETTINGS[key].check_value(key, value)
    if section in runtime.DEFAULTS:
        return runtime.DEFAULTS[section][key], value
    if (section, key) == ("DownloadDataset", "mirrors"):
        return MNIST.mirrors, tuple(value.split(","))
    if section in {"distribution", "release"}:
        parameter = getattr(tasks.PushVersions if section == "distribution" else tasks.PromoteVersion, key)
        return parameter.normalize(None), parameter.normalize(value)
    task = getattr(tasks, section)
    parameter = dict(task.get_params())[key]
    return parameter.task_value(section, key), parameter.normalize(parameter.parse(value))


@pytest.mark.parametrize(("section", "key", "value"), shown())
def test_a_commented_line_is_the_default(section, key, value):
    """Whoever takes a # away changes nothing yet."""
    expected, found = default(section, key, value)
    assert expected == found


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xef\xbb\xbf[recipe]\nseed = 1\n", "contains no section headers"),
        (b"[recipe]\nseed = 1\n[recipe]\nseed = 2\n", "section 'recipe' already exists"),
        (b"[recipe]\nseed = 1\nseed = 2\n", "option 'seed' in section 'recipe' already exists"),
        (b"[recipe]\nmodel = caf\xe9\n", "'utf-8' codec can't decode byte 0xe9"),
        ("[recipe]\n".encode("utf-16"), "'utf-8' codec can't decode byte 0xff"),
    ],
)
@pytest.mark.parametrize("command", [["-m", "tasks", "ExportVersion", "--version", "1"], ["-m", "tasks.tutorial", "x"]])
def test_a_file_that_cannot_be_read_is_told_in_a_line(tmp_path, content, reason, command):
    """Luigi reads it when it is imported, and its own command line ends with a traceback; ours do not."""
    (tmp_path / "luigi.cfg").write_bytes(content)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert 1 == result.returncode
    (line,) = result.stderr.splitlines()
    assert line.startswith("luigi.cfg cannot be read: ")
    assert reason in line
    assert line.endswith("; allowed is UTF-8 without a byte order mark, each section once, and each key once in it")


def test_every_default_is_shown():
    """Each setting of recipes, training, export and Luigi that has one default in the code is in the file."""
    expected = {key for settings in runtime.DEFAULTS.values() for key in settings} | {
        name for name, key in KEYS.items() if key.default is not None
    }
    assert expected <= {key for _, key, _ in shown()}
