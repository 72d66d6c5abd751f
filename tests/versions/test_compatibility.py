"""What a new version is held against: signatures and accuracy of the one in service."""

import copy
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.errors import ExportFailed, InvalidServingConfig
from tasks.versions.compatibility import (
    Baseline,
    breaking_changes,
    check_accuracy,
    check_signatures,
    find_baseline,
)
from tests.serving.test_config_file import CONFIG

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


@pytest.fixture
def stable():
    """A version in service that another one may be 0.01 worse than."""
    return Baseline(4, Path("models/mnist/4"), max_regression=0.01)


def test_changes_that_break_clients_are_refused(stable):
    """The error shows each change and the way out; without changes, or where they are allowed, there is none."""
    changes = ["signature ask is gone", "other: input more is new"]
    message = (
        "version 7 is not published: clients of version 4 (stable) would be refused: signature ask is gone; "
        "other: input more is new; --allow-signature-change publishes it all the same"
    )
    with pytest.raises(ExportFailed, match=f"^{re.escape(message)}$"):
        check_signatures(7, stable, changes)
    check_signatures(7, stable, [])
    check_signatures(7, replace(stable, allow_signature_change=True), changes)


def test_an_accuracy_that_is_too_low_is_refused(stable):
    """The error says both accuracies, both versions and the bound; exactly the bound passes, and so does any better."""
    message = (
        "version 7 is not published: its validation accuracy of 0.9000 is more than max_regression = 0.01 below the "
        "0.9200 of version 4 (stable)"
    )
    with pytest.raises(ExportFailed, match=f"^{re.escape(message)}$"):
        check_accuracy(7, 0.90, stable, 0.92)
    check_accuracy(7, 0.91, stable, 0.92)  # 0.92 - 0.91 > 0.01 in floating point
    check_accuracy(7, 1.0, stable, 0.92)
    check_accuracy(7, 0.0, replace(stable, max_regression=None), 0.92)
