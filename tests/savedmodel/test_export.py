"""A version from weights to a folder that is ready to be published: real SavedModels, of a few images."""

import json
from dataclasses import asdict, dataclass, replace

import numpy as np
import pytest
import tensorflow as tf

from tasks.errors import ExportFailed
from tasks.model.architectures import find_architecture
from tasks.savedmodel.export import export_version
from tasks.savedmodel.loaded_model import load_saved_model
from tasks.savedmodel.signatures import describe_signatures
from tasks.storage import checksums, publishing
from tasks.versions.manifest import MANIFEST, read_manifest
from tests import small
from tests.savedmodel.conftest import RECIPE


@dataclass
class Images:
    """Images and labels of one split."""

    images: np.ndarray
    labels: np.ndarray


def split(count, seed):
    images, labels = small.make_images(count, seed)
    return Images(images.reshape(-1, 784), labels)


MEASURED_ON = {"validation": split(30, 5), "test": split(50, 6)}
CHECKSUMS = {"train-images": "00"}
SOFTMAX = find_architecture("softmax")
MADE_WITH = {"tensorflow": "0"}


def make_weights(right=10):
    """Weights that know the first `right` of the ten kinds of images by their bars, and take none for another."""
    weights = np.zeros((28, 28, 10), np.float32)
    for kind in range(right):
        weights[4 + 2 * kind : 6 + 2 * kind, 4:24, kind] = 1.0
    return {"weights": weights.reshape(784, 10), "biases": np.zeros(10, np.float32)}


def export(directory, wanted, weights, architecture=SOFTMAX):
    return export_version(
        directory,
        wanted,
        architecture=architecture,
        form=small.FORM,
        weights=weights,
        measured_on=MEASURED_ON,
        dataset_checksums=CHECKSUMS,
        made_with=MADE_WITH,
    )


def test_the_manifest_says_what_the_version_is(tmp_path, want):
    """Everything that is known about the version is in the manifest, and the manifest is in the version."""
    manifest = export(tmp_path, want(7, min_accuracy=0.5), make_weights())
    assert json.loads(json.dumps(asdict(manifest))) == asdict(read_manifest(tmp_path))
    assert 7 == manifest.model_version
    assert (RECIPE, 1, CHECKSUMS, MADE_WITH) == (
        manifest.recipe,
        manifest.recipe["threads"],
        manifest.dataset_checksums,
        manifest.made_with,
    )
    with load_saved_model(tmp_path) as model:
        assert describe_signatures(model.signatures) == manifest.signatures


def test_every_file_but_the_manifest_is_listed(tmp_path, want):
    """Size and SHA-256 of each file are those on disk."""
    listed = export(tmp_path, want(), make_weights()).files
    found = checksums.list_files(tmp_path)
    assert listed == {name: entry for name, entry in found.items() if name != MANIFEST.as_posix()}
    assert {"saved_model.pb", "variables/variables.index"} < set(listed)


def test_what_is_served_is_measured(tmp_path, want):
    """Each split has the accuracy, loss and confusion matrix of the scores that the loaded SavedModel gives."""
    metrics = export(tmp_path, want(), make_weights(right=8)).metrics
    assert {"validation", "test"} == set(metrics)
    with load_saved_model(tmp_path) as model:
        for name, data in MEASURED_ON.items():
            scores = model.predict(data.images)
            predicted = scores.argmax(axis=1)
            assert len(data.labels) == metrics[name]["examples"]
            assert (predicted == data.labels).mean() == metrics[name]["accuracy"]
            loss = -np.log(scores[np.arange(len(data.labels)), data.labels]).mean()
            assert metrics[name]["mean_loss"] == pytest.approx(loss, abs=1e-3)
            counts = np.zeros((10, 10), int)
            np.add.at(counts, (data.labels, predicted), 1)
            assert counts.tolist() == [list(row) for row in metrics[name]["confusion_matrix"]]


def test_the_same_version_is_the_same_bytes(tmp_path, want):
    """Exported twice, every file is the same, the manifest included."""
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
        export(folder, want(), make_weights())
    first, second = (checksums.list_files(folder) for folder in folders)
    assert MANIFEST.as_posix() in first
    assert first == second


def publish(wanted, weights):
    with publishing.publish_directory(wanted.path) as aside:
        export(aside, wanted, weights)


def test_a_version_that_passes_its_gate_is_published(want):
    """An accuracy that equals min_accuracy is enough, and the version then exists."""
    wanted = want(min_accuracy=1.0)
    publish(wanted, make_weights())
    assert wanted.exists()


def test_a_version_below_its_gate_is_never_published(tmp_path, want):
    """The error tells both numbers, by the validation split, and nothing is left in the base path."""
    with pytest.raises(
        ExportFailed,
        match=r"^version 1 is not published: its validation accuracy of 0\.\d{4} is below the min_accuracy of 1\.0000$",
    ):
        publish(want(min_accuracy=1.0), make_weights(right=5))
    assert [] == list(tmp_path.iterdir())


def test_the_gate_does_not_look_at_the_test_split(tmp_path, want, monkeypatch):
    """A model that fails on test images alone is published: they are for measuring, not for choosing."""
    wrong = Images(MEASURED_ON["test"].images, (MEASURED_ON["test"].labels + 1) % 10)
    monkeypatch.setitem(MEASURED_ON, "test", wrong)
    metrics = export(tmp_path, want(min_accuracy=1.0), make_weights()).metrics
    assert (1.0, 0.0) == (metrics["validation"]["accuracy"], metrics["test"]["accuracy"])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_never_published(tmp_path, want, bad):
    """Weights that are no numbers give scores that are none, whatever the gate says."""
    weights = make_weights()
    weights["biases"][3] = bad
    with pytest.raises(ExportFailed, match=r": a score is NaN or infinite$"):
        publish(want(), weights)
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (
            lambda images: images[0],
            r"signature more: output x has the shape \[784\] for two images; the first of these",
        ),
        (lambda images: tf.reshape(images, [5, -1]), "signature more fails: .*reshape"),
    ],
    ids=["one answer for all", "none"],
)
def test_a_signature_of_its_own_that_does_not_answer_is_never_published(tmp_path, want, answer, why):
    """Each is asked about two images, and has to say something of each."""
    model = replace(SOFTMAX, signatures=lambda images, _: {"more": {"x": answer(images)}})
    with pytest.raises(ExportFailed, match=f"^{tmp_path}: {why}"):
        export(tmp_path, want(), make_weights(), model)
