"""The one table of keys, and the recipe that it describes."""

import shutil
import subprocess
import sys
from dataclasses import fields

import pytest

from tasks.recipes.recipe import KEYS, Recipe
from tests import small
from tests.conftest import ROOT


def test_the_table_has_a_line_for_each_field():
    """The recipe's fields are the keys, in the same order."""
    assert [entry.name for entry in fields(Recipe)] == list(KEYS)


@pytest.mark.parametrize("name", KEYS)
def test_every_default_passes_its_own_check(name):
    """What nobody sets is a value that somebody could set."""
    key = KEYS[name]
    assert key.help
    assert key.default is None or key.default == key.check.check_value(name, key.default)


def test_gates_and_checkpoints_shape_nothing():
    """`shaping` leaves out what decides only whether a version is published, and where a training is cut."""
    no_bytes = {"min_accuracy", "max_regression", "max_regression_p", "segment"}
    assert no_bytes == set(KEYS) - set(small.make_recipe().shaping())


MORE = '    dropout: float = _key(_accuracy, 0.25, _version, "share of the weights that are left out")\n'

USE = """
from luigi.configuration import get_config
import tasks
from tasks.errors import InvalidParameter
from tasks.versions.manifest import Manifest

assert 0.25 == tasks.ExportVersion(version=1).dropout
assert 0.5 == tasks.ExportVersion(version=1, dropout="0.5").recipe.dropout
assert tasks.ExportVersion(version=1).task_id != tasks.ExportVersion(version=1, dropout=0.5).task_id
get_config().set("recipe.2", "dropout", "0.75")
assert [0.25, 0.75] == [version.dropout for version in tasks.ExportAllVersions(versions="1,2").requires()]
try:
    tasks.ExportVersion(version=1, dropout=2)
except InvalidParameter as error:
    assert "dropout = 2: allowed is a number from 0 to 1" == str(error)
made = tasks.ExportVersion(version=1).recipe.shaping()
assert 0.25 == made["dropout"]
asked = tasks.ExportVersion(version=1, dropout=0.5).recipe
assert {"dropout": (0.25, 0.5)} == Manifest(1, made, {}, {}, {}, {}, {}).differences(asked)
print("a key is a line")
"""


def test_a_new_key_is_one_line(tmp_path):
    """In a copy of the package with one more line in the table, all that reads or compares recipes knows the key."""
    shutil.copytree(ROOT / "tasks", tmp_path / "tasks")
    table = tmp_path / "tasks" / "recipes" / "recipe.py"
    before = "    min_accuracy: float ="
    assert 1 == table.read_text().count(before)
    table.write_text(table.read_text().replace(before, MORE + before))
    result = subprocess.run(
        [sys.executable, "-c", USE],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "a key is a line\n" == result.stdout, result.stderr
