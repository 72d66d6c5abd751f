"""Datasets of other forms than MNIST's, and a network with a signature of its own, through the whole chain."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from tasks.data.dataset import DATASETS
from tasks.execution.computations import form_of
from tasks.savedmodel.prediction_requests import classify_request, predict_request, read_logs
from tasks.savedmodel.warmup import WARMUP
from tests import other_forms
from tests.conftest import CommandLine, last_line, read_tree
from tests.jobs.chain import manifest_of
from tests.model_server import serve
from tests.savedmodel.versions import expected_scores

CONFIG = """
[recipe]
dataset = {dataset}
training_iteration = 60
[recipe.2]
model = cnn
batch_size = 100
training_iteration = 30
[recipe.3]
model = with_means
schedule = linear
[training]
segment = 25
[export]
warmup_records = 4
"""
MODELS = {1: "softmax", 2: "cnn", 3: "with_means"}


@pytest.fixture(scope="module", params=other_forms.FORMS)
def exported(request, tmp_path_factory):
    """A dataset's name, and a command line that has made the three versions on it from a folder of archives."""
    directory = tmp_path_factory.mktemp(request.param)
    run = CommandLine(directory, other_forms.write_archives(request.param, directory / "mirror"))
    run.configure(CONFIG.format(dataset=request.param))
    run("ExportAllVersions", "--versions=1-3", module="tests.other_forms", check=0)
    return request.param, run


def test_versions_are_of_the_form_of_their_dataset(exported):
    """Signatures and confusion matrices have as many values and classes as the dataset; a softmax learns them."""
    name, run = exported
    form = form_of(name)
    for version in MODELS:
        manifest = manifest_of(run.base / str(version))
        assert DATASETS[name].checksums == manifest["dataset_checksums"]
        predict, classify = (manifest["signatures"][key] for key in ("predict_images", "serving_default"))
        assert [-1, form.pixels] == predict["inputs"]["images"]["shape"]
        assert {(-1, form.classes)} == {tuple(classify["outputs"][key]["shape"]) for key in ("classes", "scores")}
        for split, count in (("validation", other_forms.VALIDATION), ("test", other_forms.TEST)):
            metrics = manifest["metrics"][split]
            assert (form.classes, form.classes) == np.shape(metrics["confusion_matrix"])
            assert count == np.sum(metrics["confusion_matrix"])
            assert version > 1 or metrics["accuracy"] > 0.9


def test_versions_answer_with_the_names_of_the_classes(exported):
    """Predict gives the scores of the network with the version's weights, Classify the same by name, best first."""
    name, run = exported
    form = form_of(name)
    images = other_forms.make_images(name, 10, seed=9)[0].reshape(10, -1).astype(np.float32) / np.float32(255)
    with serve(run.base) as stub:
        for version, model in MODELS.items():
            stored = tf.train.load_checkpoint(str(run.base / str(version) / "variables" / "variables"))
            weights = {weight: stored.get_tensor(weight) for weight in stored.get_variable_to_shape_map()}
            expected = expected_scores(model, weights, images, form)
            predict, classify = predict_request(images), classify_request(images)
            for request in (predict, classify):
                request.model_spec.name = "mnist"
                request.model_spec.version.value = version
            found = tf.make_ndarray(stub.Predict(predict, timeout=20).outputs["scores"])
            np.testing.assert_allclose(found, expected, atol=1e-6)
            for row, scores in zip(stub.Classify(classify, timeout=20).result.classifications, expected, strict=True):
                assert [form.class_names[scores.argmax()]] == [row.classes[0].label]
                by_name = {entry.label: entry.score for entry in row.classes}
                np.testing.assert_allclose([by_name[name] for name in form.class_names], scores, atol=1e-6)


def test_a_signature_of_the_networks_own_is_served(exported):
    """It stands in the manifest, is warmed up, and answers with what the network's function gives."""
    name, run = exported
    form = form_of(name)
    images = other_forms.make_images(name, 10, seed=9)[0].reshape(10, -1).astype(np.float32) / np.float32(255)
    assert ["describe", "predict_images", "serving_default"] == sorted(manifest_of(run.base / "3")["signatures"])
    assert "describe" not in manifest_of(run.base / "1")["signatures"]
    warmed = read_logs(run.base / "3" / WARMUP)[3].predict_log.request
    assert ("describe", 1) == (warmed.model_spec.signature_name, warmed.inputs["images"].tensor_shape.dim[0].size)
    requests = {signature: predict_request(images, signature) for signature in ("describe", "predict_images")}
    with serve(run.base) as stub:
        for request in requests.values():
            request.model_spec.name = "mnist"
            request.model_spec.version.value = 3
        found = {key: stub.Predict(request, timeout=20).outputs for key, request in requests.items()}
    means = images.reshape(10, -1, form.shape[2]).mean(axis=1)
    np.testing.assert_allclose(tf.make_ndarray(found["describe"]["means"]), means, atol=1e-5)
    assert found["predict_images"]["scores"] == found["describe"]["probabilities"]


@pytest.mark.long
def test_versions_are_verified_and_made_again(exported, tmp_path):
    """Both find nothing; without the module that registers the dataset, a rebuild says what it lacks."""
    run = CommandLine(tmp_path / "copy", exported[1].mirror)
    shutil.copytree(exported[1].directory, run.directory)
    before = read_tree(run.base)
    result = run("VerifyVersions", check=0)
    assert [["1", "good"], ["2", "good"], ["3", "good"]] == [
        line.split()[:2] for line in result.stdout.splitlines()[1:]
    ]
    result = run("RebuildVersions", module="tests.other_forms", check=0)
    assert ["1", "equal", "2", "equal", "3", "equal"] == result.stdout.split()[3:]
    assert before == read_tree(run.base)
    (run.directory / "luigi.cfg").unlink()
    told = last_line(run("RebuildVersions", module="tasks", check=30))
    assert f"1: cannot be made again: dataset = {exported[0]!r}: unknown; allowed are digits, mnist" in told
