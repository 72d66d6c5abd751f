"""What a new version is held against: signatures and accuracy of the one in service."""

import copy
import re
from dataclasses import replace

import pytest
import tensorflow as tf

from tasks.data.arrays import Split
from tasks.errors import ExportFailed, InvalidServingConfig
from tasks.versions.compatibility import Baseline, breaking_changes, find_baseline, judge
from tasks.versions.manifest import read_manifest
from tests import small
from tests.savedmodel.versions import draw_weights, export, write_foreign
from tests.serving.test_config_file import CONFIG

VALIDATION = Split(small.make_images(100, seed=3)[0].reshape(-1, 784), small.make_images(100, seed=3)[1])
SIGNATURES = {
    "ask": {
        "method": "predict",
        "inputs": {"images": {"dtype": "float32", "shape": [-1, 784]}},
        "outputs": {"scores": {"dtype": "float32", "shape": [-1, 10]}},
    }
}


def _changed(**paths):
    """SIGNATURES with values replaced: `inputs__images__shape=[...]`; None removes."""
    after = copy.deepcopy(SIGNATURES)
    for path, value in paths.items():
        *folders, last = path.split("__")
        place = after["ask"]
        for folder in folders:
            place = place[folder]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return after


TENSOR = {"dtype": "float32", "shape": [-1]}


@pytest.mark.parametrize(
    ("after", "changes"),
    [
        (SIGNATURES, []),
        ({**SIGNATURES, "more": SIGNATURES["ask"]}, []),
        ({}, ["signature ask is gone"]),
        (_changed(method="classify"), ["ask: method predict -> classify"]),
        (_changed(outputs__more=TENSOR), []),
        (_changed(inputs__more=TENSOR), ["ask: input more is new"]),
        (_changed(outputs__scores=None), ["ask: output scores is gone"]),
        (_changed(inputs__images=None), ["ask: input images is gone"]),
        (_changed(inputs__images__dtype="float64"), ["ask: input images: float32 -> float64"]),
        (_changed(inputs__images__shape=[-1, -1]), []),
        (_changed(inputs__images__shape=[1, 784]), ["ask: input images: shape [-1, 784] -> [1, 784]"]),
        (_changed(inputs__images__shape=[-1, 28, 28]), ["ask: input images: shape [-1, 784] -> [-1, 28, 28]"]),
        (_changed(outputs__scores__shape=[-1, 5]), ["ask: output scores: shape [-1, 10] -> [-1, 5]"]),
        (_changed(outputs__scores__shape=[-1, -1]), ["ask: output scores: shape [-1, 10] -> [-1, -1]"]),
        (_changed(outputs__scores__shape=[1, 10]), []),
    ],
)
def test_what_breaks_clients_is_listed(after, changes):
    """What is gone, of another type or narrower breaks clients; what is added does not, but for an input."""
    assert breaking_changes(SIGNATURES, after) == changes


def test_unknown_rank_promised_nothing_and_is_no_answer():
    """From unknown rank (the tutorial's) to a known shape breaks nobody; an output that loses its shape does."""
    unknown = _changed()
    unknown["ask"]["inputs"]["images"]["shape"] = unknown["ask"]["outputs"]["scores"]["shape"] = None
    assert breaking_changes(unknown, SIGNATURES) == []
    assert breaking_changes(SIGNATURES, unknown) == ["ask: output scores: shape [-1, 10] -> unknown"]


def _config(tmp_path, base_path):
    path = tmp_path / "models.config"
    path.write_text(CONFIG % base_path)
    return path


def test_the_baseline_is_what_stable_points_at(tree, tmp_path):
    """The label `stable` names the version that others are held against, but for that version itself."""
    config_path = _config(tmp_path, tree)
    assert find_baseline(tree, 3, config_path) == Baseline(1, tree / "1")
    assert find_baseline(tree, 1, config_path) is None
    assert find_baseline(tree, 3, tmp_path / "none") is None


def test_models_that_share_a_folder_have_the_newest_baseline(tree, tmp_path):
    """Whichever entry comes first, and whether it has the label or not; each label must point at what is there."""
    entry = 'config {{ name: "{}" base_path: "%s" version_labels {{ key: "{}" value: {} }} }}'
    config_path = tmp_path / "models.config"

    def baseline(*entries, version=3):
        listed = " ".join(entry.format(*one) % tree for one in entries)
        config_path.write_text(f"model_config_list {{ {listed} }}")
        return find_baseline(tree, version, config_path)

    a, b = ("a", "stable", 1), ("b", "stable", 2)
    assert baseline(a, b) == baseline(b, a) == Baseline(2, tree / "2")
    assert baseline(("a", "canary", 1), b) == Baseline(2, tree / "2")
    assert baseline(a, b, version=2) == Baseline(1, tree / "1")
    with pytest.raises(InvalidServingConfig, match="of model 'c' points at version 9"):
        baseline(a, ("c", "stable", 9))


def test_a_label_that_points_at_nothing_is_an_error(tree, tmp_path):
    """A stable version that is gone is said in one line with label, model, version and folder."""
    (tree / "1").rename(tmp_path / "away")
    with pytest.raises(InvalidServingConfig) as failure:
        find_baseline(tree, 3, _config(tmp_path, tree))
    assert f"'stable' of model 'mnist' points at version 1, and {tree / '1'} is gone" in str(failure.value)
    assert len(str(failure.value).splitlines()) == 1


def _judge(baseline, manifest, **settings):
    return judge(baseline and replace(baseline, **settings), manifest, VALIDATION)


def test_no_baseline_no_judgement(exported):
    """Where no version is in service, nothing is compared and nothing recorded."""
    assert _judge(None, read_manifest(exported / "2"), max_regression=0.0) == {}


def test_a_regression_within_bounds_is_recorded(exported):
    """The record holds the baseline's version and both accuracies, measured on the same images."""
    manifest, baseline = read_manifest(exported / "2"), read_manifest(exported / "1")
    judged = _judge(Baseline(1, exported / "1"), manifest, max_regression=1.0)
    assert judged == {
        "baseline": 1,
        "signature_changes": [],
        "baseline_accuracy": baseline.validation_accuracy,
        "accuracy": manifest.validation_accuracy,
    }


def test_a_regression_beyond_bounds_is_refused(exported):
    """The error says both accuracies, both versions and the bound; exactly the bound passes."""
    worse, better = sorted((read_manifest(exported / name) for name in "12"), key=lambda m: m.validation_accuracy)
    baseline = Baseline(better.model_version, exported / str(better.model_version))
    difference = better.validation_accuracy - worse.validation_accuracy
    assert difference > 0
    _judge(baseline, worse, max_regression=difference)
    message = (
        f"version {worse.model_version} is not published: its validation accuracy of {worse.validation_accuracy:.4f} "
        f"is more than max_regression = {difference - 0.01:g} below the {better.validation_accuracy:.4f} of version "
        f"{better.model_version} (stable)"
    )
    with pytest.raises(ExportFailed, match=re.escape(message)):
        _judge(baseline, worse, max_regression=difference - 0.01)


def test_a_version_that_breaks_clients_is_refused_unless_asked_for(exported, tmp_path):
    """The error shows the difference and the way out; with the flag it is recorded instead."""
    manifest = read_manifest(exported / "1")
    write_foreign(tmp_path / "9", signature="ask_me")
    changes = ["signature ask_me is gone"]
    with pytest.raises(ExportFailed, match="signature ask_me is gone; --allow-signature-change publishes it"):
        _judge(Baseline(9, tmp_path / "9"), manifest)
    judged = _judge(Baseline(9, tmp_path / "9"), manifest, allow_signature_change=True)
    assert judged == {"baseline": 9, "signature_changes": changes}


def test_a_baseline_made_elsewhere_is_measured_too(exported, tmp_path):
    """A stable version without a manifest, with shapes of unknown rank, serves as a baseline."""
    write_foreign(tmp_path / "9")
    judged = _judge(Baseline(9, tmp_path / "9"), read_manifest(exported / "1"), max_regression=1.0)
    assert 0 <= judged["baseline_accuracy"] <= 1


def test_a_baseline_that_does_not_load_is_named(exported, tmp_path):
    """A stable version that is damaged stops the export with its path."""
    export(tmp_path / "9", 9, "softmax", draw_weights("softmax"))
    (tmp_path / "9" / "saved_model.pb").write_bytes(b"\x0a\xff")
    with pytest.raises(ExportFailed, match=re.escape(f"{tmp_path / '9' / 'saved_model.pb'}: no SavedModel")):
        _judge(Baseline(9, tmp_path / "9"), read_manifest(exported / "1"))
    (tmp_path / "9" / "saved_model.pb").unlink()
    with pytest.raises(ExportFailed, match="No such file"):
        _judge(Baseline(9, tmp_path / "9"), read_manifest(exported / "1"))
    tf.compat.v1.reset_default_graph()
