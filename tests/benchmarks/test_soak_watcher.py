"""The watcher of a soak, in front of versions that are damaged, swapped or taken away."""

import json
import shutil

import pytest

from tests import quiet_tensorflow  # isort: skip - before anything else imports TensorFlow
from benchmarks.soak import watcher
from tests.savedmodel.versions import draw_weights, export

__all__ = ["quiet_tensorflow"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two versions with other weights; not to be changed."""
    tree = tmp_path_factory.mktemp("made")
    for version in (1, 2):
        export(tree / str(version), version, "softmax", draw_weights("softmax", seed=version))
    return tree


@pytest.fixture
def watch(made, tmp_path):
    """A watch over a copy of both."""
    return watcher.Watch([shutil.copytree(made, tmp_path / "mnist"), tmp_path / "not there"])


def test_every_version_is_loaded_and_others_in_turn(watch):
    """Both at the first look, one at each look after that, and one that came back as another folder."""
    watch.look()
    watch.look()
    assert {"looks": 2, "loads": 3, "versions that came": 2} == watch.seen
    (tree, _) = watch.trees
    shutil.copytree(tree / "1", tree / "again")
    shutil.rmtree(tree / "1")
    (tree / "again").rename(tree / "1")
    watch.look()
    assert 3 == watch.seen["versions that came"]
    assert [] == watch.broken


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.data-00000-of-00001"])
def test_a_version_that_is_cut_is_broken(watch, name):
    """It is told once, with its folder, however often it is looked at."""
    path = watch.trees[0] / "2" / name
    path.write_bytes(path.read_bytes()[:100])
    watch.look()
    assert 1 == len(watch.broken)
    assert watch.broken[0].startswith(str(watch.trees[0] / "2"))
    assert 1 == watch.seen["loads"]


def test_other_weights_are_told(watch):
    """A version that loads and has finite scores, but not the golden ones."""
    tree = watch.trees[0]
    shutil.rmtree(tree / "2" / "variables")
    shutil.copytree(tree / "1" / "variables", tree / "2" / "variables")
    watch.look()
    assert ["scores are not the golden ones" in told for told in watch.broken] == [True]


def test_another_version_under_the_same_number_is_told(watch):
    """Whole, with golden answers of its own, but not what the number has stood for."""
    tree = watch.trees[0]
    watch.look()
    shutil.rmtree(tree / "2")
    shutil.copytree(tree / "1", tree / "2")
    watch.look()
    assert [f"{tree / '2'}: its scores are not those that this number had before"] == watch.broken


def test_a_version_that_goes_while_it_is_loaded_is_not_broken(watch, monkeypatch):
    """As when it is retired between a look and its load."""
    tree = watch.trees[0]

    def ask(folder):
        shutil.rmtree(folder)
        return json.loads((folder / "saved_model.pb").read_text())

    monkeypatch.setattr(watcher, "_ask", ask)
    watch.look()
    assert [] == list(tree.iterdir())
    assert ([], 2) == (watch.broken, watch.seen["went while they were loaded"])
