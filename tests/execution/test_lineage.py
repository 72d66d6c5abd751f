"""The address of a training: what gives another one, and what does not."""

import importlib.util
import shutil
from dataclasses import replace

import pytest

from tasks.data.dataset import DATASETS
from tasks.execution import lineage as addresses
from tasks.execution.lineage import dataset_folder, lineage, model_source
from tasks.model.architectures import ARCHITECTURES
from tasks.recipes.recipe import KEYS
from tests.small import SMALL, make_recipe

ANOTHER = {
    "dataset": "mnist",
    "model": "cnn",
    "batch_size": 51,
    "optimizer": "adam",
    "learning_rate": 0.25,
    "schedule": "linear",
    "seed": 1,
    "threads": 2,
}
THE_SAME = {"training_iteration": 7, "min_accuracy": 0.5, "segment": 10, "warmup_records": 0}
THE_SAME |= {"max_regression": 0.1, "max_regression_p": 0.1}

NETWORK = """
from tasks.model.architectures import architecture


@architecture(optimizer="sgd", learning_rate=0.5)
def own(images, weight):
    return images @ weight("weights", [784, 10]) * {factor}
"""


@pytest.fixture(autouse=True)
def read_anew():
    """What was read of the sources is forgotten before and after a test."""
    model_source.cache_clear()
    yield
    model_source.cache_clear()


@pytest.mark.parametrize("key", ANOTHER)
def test_a_key_that_acts_on_the_weights_gives_another_lineage(key):
    """Each key that decides the images or how they are trained on is part of the address."""
    assert lineage(make_recipe(), 0) != lineage(make_recipe(**{key: ANOTHER[key]}), 0)


@pytest.mark.parametrize("key", THE_SAME)
def test_a_key_that_does_not_act_on_the_weights_gives_the_same_lineage(key):
    """Gates, segment, warm-up and the number of iterations leave the address as it is, so trainings are shared."""
    assert lineage(make_recipe(), 0) == lineage(make_recipe(**{key: THE_SAME[key]}), 0)


def test_every_key_is_decided():
    """A new key of a recipe has to be put into one of the two lists above."""
    assert set(KEYS) == {*ANOTHER, *THE_SAME}


def test_the_end_of_the_schedule_is_part_of_it():
    """A schedule that ends later gives other learning rates, so it is another training."""
    assert lineage(make_recipe(), 0) != lineage(make_recipe(), 1000)


def test_an_edited_architecture_gives_another_lineage(tmp_path):
    """Whoever edits the file of a network of their own does not find the weights of the one before."""
    path = tmp_path / "own_network.py"

    def lineage_with(factor):
        path.write_text(NETWORK.format(factor=factor))
        spec = importlib.util.spec_from_file_location("own_network", path)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        model_source.cache_clear()
        return lineage(make_recipe(model="own"), 0)

    try:
        first = lineage_with(1)
        assert first != lineage_with(2)
        assert first == lineage_with(1)
    finally:
        ARCHITECTURES.pop("own", None)


def test_an_edited_module_of_the_model_gives_another_lineage(tmp_path, monkeypatch):
    """A change anywhere in tasks/model, be it in the loop or in an optimizer, starts all trainings anew."""
    before = lineage(make_recipe(), 0)
    sources = tmp_path / "model"
    shutil.copytree(addresses.MODEL_SOURCES, sources)
    monkeypatch.setattr(addresses, "MODEL_SOURCES", sources)
    model_source.cache_clear()
    assert before == lineage(make_recipe(), 0)
    (sources / "optimizers.py").write_text((sources / "optimizers.py").read_text() + "\n")
    model_source.cache_clear()
    assert before != lineage(make_recipe(), 0)


def test_another_tensorflow_gives_another_lineage(monkeypatch):
    """Weights of one version of TensorFlow are not continued with another."""
    before = lineage(make_recipe(), 0)
    monkeypatch.setattr(addresses, "installed_version", lambda _: "0.0")
    assert before != lineage(make_recipe(), 0)


def test_a_split_has_a_folder_of_its_own(monkeypatch):
    """Arrays are found by the archives' checksums and by how many images are set aside, not by the name alone."""
    other = replace(SMALL, training_images=400, validation_images=200)
    assert dataset_folder(SMALL).startswith("small-")
    assert dataset_folder(SMALL) != dataset_folder(other)
    before = lineage(make_recipe(), 0)
    monkeypatch.setitem(DATASETS, "small", other)
    assert before != lineage(make_recipe(), 0)


@pytest.mark.parametrize("form", [{"shape": (14, 56, 1)}, {"class_names": (*"0123456789", "none of them")}], ids=str)
def test_another_shape_or_number_of_classes_is_another_dataset(monkeypatch, form):
    """What the arrays were checked against is part of their address; what the classes are called is not."""
    before = lineage(make_recipe(), 0)
    monkeypatch.setitem(DATASETS, "small", replace(SMALL, class_names=tuple("abcdefghij")))
    assert before == lineage(make_recipe(), 0)
    monkeypatch.setitem(DATASETS, "small", replace(SMALL, **form))
    assert dataset_folder(SMALL) != dataset_folder(DATASETS["small"])
    assert before != lineage(make_recipe(), 0)
