"""Versions compared with one in service: each exported in this process, loaded and measured."""

import re
from dataclasses import replace

import pytest
import tensorflow as tf

from tasks.data.arrays import Split
from tasks.errors import ExportFailed
from tasks.savedmodel.comparison import compare_with_baseline
from tasks.versions.compatibility import Baseline
from tasks.versions.evidence import mcnemar_p
from tasks.versions.manifest import read_manifest
from tests import other_forms, small
from tests.savedmodel.foreign import KINDS
from tests.savedmodel.versions import draw_weights, export, write_foreign

DEFAULT = "serving_default: method tensorflow/serving/predict -> tensorflow/serving/classify"
CHANGES = {
    "module": [
        DEFAULT,
        "serving_default: input images is gone",
        "serving_default: input inputs is new",
    ],
    "keras": [
        "signature serve is gone",
        DEFAULT,
        "serving_default: input pixels is gone",
        "serving_default: output output_0 is gone",
        "serving_default: input inputs is new",
    ],
    "words": [
        DEFAULT,
        "serving_default: input text is gone",
        "serving_default: output worth is gone",
        "serving_default: input inputs is new",
    ],
    "tutorial": [],
    "several graphs": [],
    "no signature": [],
}

VALIDATION = Split(small.make_images(100, seed=3)[0].reshape(-1, 784), small.make_images(100, seed=3)[1])


def compare(baseline, directory, **settings):
    return compare_with_baseline(
        baseline and replace(baseline, **settings), read_manifest(directory), directory, VALIDATION
    )


def test_no_baseline_no_comparison(exported):
    """Where no version is in service, nothing is compared and nothing recorded."""
    assert compare(None, exported / "2", max_regression=0.0) == {}


def test_a_regression_within_bounds_is_recorded(exported):
    """The record holds the baseline's version, both accuracies on the same images, and the evidence."""
    manifest, baseline = read_manifest(exported / "2"), read_manifest(exported / "1")
    compared = compare(Baseline(1, exported / "1"), exported / "2", max_regression=1.0)
    here, there = compared.pop("only_right"), compared.pop("only_baseline_right")
    assert compared == {
        "baseline": 1,
        "signature_changes": [],
        "baseline_accuracy": baseline.validation_accuracy,
        "accuracy": manifest.validation_accuracy,
        "p": mcnemar_p(here, there),
    }
    more = round(100 * (manifest.validation_accuracy - baseline.validation_accuracy))
    assert more == here - there
    assert compared["p"] == compare(Baseline(1, exported / "1"), exported / "2", max_regression_p=0.0)["p"]


def test_a_regression_beyond_bounds_is_refused(exported):
    """The error says both accuracies, both versions and the bound; exactly the bound passes."""
    worse, better = sorted((read_manifest(exported / name) for name in "12"), key=lambda m: m.validation_accuracy)
    baseline = Baseline(better.model_version, exported / str(better.model_version))
    directory = exported / str(worse.model_version)
    difference = better.validation_accuracy - worse.validation_accuracy
    assert difference > 0
    compare(baseline, directory, max_regression=difference)
    message = (
        f"version {worse.model_version} is not published: its validation accuracy of {worse.validation_accuracy:.4f} "
        f"is more than max_regression = {difference - 0.01:g} below the {better.validation_accuracy:.4f} of version "
        f"{better.model_version} (stable)"
    )
    with pytest.raises(ExportFailed, match=re.escape(message)):
        compare(baseline, directory, max_regression=difference - 0.01)
    with pytest.raises(
        ExportFailed, match=r"is below the .* \(stable\); exact McNemar's p = .*, max_regression_p = 1$"
    ):
        compare(baseline, directory, max_regression_p=1.0)


def test_a_version_that_breaks_clients_is_refused_unless_asked_for(exported, tmp_path):
    """The error shows the difference and the way out; with the flag it is recorded instead."""
    directory = exported / "1"
    write_foreign(tmp_path / "9", signature="ask_me")
    changes = ["signature ask_me is gone"]
    with pytest.raises(ExportFailed, match="signature ask_me is gone; --allow-signature-change publishes it"):
        compare(Baseline(9, tmp_path / "9"), directory)
    compared = compare(Baseline(9, tmp_path / "9"), directory, allow_signature_change=True)
    assert compared == {"baseline": 9, "signature_changes": changes}


def test_a_baseline_made_elsewhere_is_measured_too(exported, tmp_path):
    """A stable version without a manifest, with shapes of unknown rank, serves as a baseline."""
    write_foreign(tmp_path / "9")
    compared = compare(Baseline(9, tmp_path / "9"), exported / "1", max_regression=1.0)
    assert 0 <= compared["baseline_accuracy"] <= 1


@pytest.mark.parametrize(
    ("name", "why"),
    [("small_colours", "Cannot feed value of shape (100, 3072)"), ("small_letters", "it gives 10 scores, and")],
)
def test_a_baseline_of_another_dataset_is_refused(exported, name, why):
    """What takes other images or knows other classes is not measured on these; the error names it."""
    images, labels = other_forms.make_images(name, 100, seed=3)
    manifest, baseline = read_manifest(exported / "2"), Baseline(1, exported / "1", max_regression=0.1)
    with pytest.raises(ExportFailed, match=re.escape(f"{exported / '1'}: cannot be measured on these images: {why}")):
        compare_with_baseline(baseline, manifest, exported / "2", Split(images.reshape(100, -1), labels))


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_others_made_is_compared_or_refused_in_a_line(exported, tmp_path, kind):
    """Clients of other signatures are counted, an accuracy that cannot be measured is named, and nothing else fails."""
    KINDS[kind](tmp_path / "9")
    directory, stable = exported / "1", Baseline(9, tmp_path / "9", allow_signature_change=True)
    changes = compare(stable, directory)["signature_changes"]
    assert CHANGES[kind] == changes
    if kind in {"tutorial", "several graphs"}:
        assert 0 <= compare(stable, directory, max_regression=1.0)["baseline_accuracy"] <= 1
    else:
        said = (
            r"^max_regression: version 9 \(stable\) cannot be measured through predict_images, images -> scores \("
            rf"{tmp_path / '9'}: signature predict_images is missing\); leave max_regression out$"
        )
        with pytest.raises(ExportFailed, match=said):
            compare(stable, directory, max_regression=1.0)


def test_a_baseline_with_another_predict_images_is_named(exported, tmp_path):
    """A signature of that name with other inputs, or other sizes, cannot be measured either."""
    for version, (name, size) in enumerate([("pictures", 784), ("images", 5)], 8):
        function = tf.function(lambda tensor: {"scores": tf.zeros([1, 10]) + tf.reduce_sum(tensor)})
        concrete = function.get_concrete_function(tf.TensorSpec([None, size], tf.float32, name=name))
        tf.saved_model.save(tf.Module(), str(tmp_path / str(version)), signatures={"predict_images": concrete})
        stable = Baseline(version, tmp_path / str(version), allow_signature_change=True, max_regression=1.0)
        with pytest.raises(ExportFailed, match=rf"^max_regression: version {version} .stable. cannot be measured"):
            compare(stable, exported / "1")


def test_a_baseline_that_does_not_load_is_named(exported, tmp_path):
    """A stable version that is damaged stops the export with its path."""
    export(tmp_path / "9", 9, "softmax", draw_weights("softmax"))
    (tmp_path / "9" / "saved_model.pb").write_bytes(b"\x0a\xff")
    with pytest.raises(ExportFailed, match=re.escape(f"{tmp_path / '9' / 'saved_model.pb'}: no SavedModel")):
        compare(Baseline(9, tmp_path / "9"), exported / "1")
    (tmp_path / "9" / "saved_model.pb").unlink()
    with pytest.raises(ExportFailed, match="No such file"):
        compare(Baseline(9, tmp_path / "9"), exported / "1")
    tf.compat.v1.reset_default_graph()
