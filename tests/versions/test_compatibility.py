"""What a new version is held against: signatures and accuracy of the one in service."""

import copy
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.errors import ExportFailed
from tasks.versions.compatibility import (
    Baseline,
    Paired,
    breaking_changes,
    check_accuracy,
    check_signatures,
)

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
        (_changed(outputs__scores__shape=[]), ["ask: output scores: shape [-1, 10] -> []"]),
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


def _paired(only_right, only_baseline_right, images=1000, both=800):
    return Paired(images, both + only_right, both + only_baseline_right, only_right, only_baseline_right)


def test_an_accuracy_that_is_too_low_is_refused(stable):
    """The error says both accuracies, both versions and the bound; exactly the bound passes, and so does any better."""
    message = (
        "version 7 is not published: its validation accuracy of 0.9000 is more than max_regression = 0.01 below the "
        "0.9200 of version 4 (stable)"
    )
    with pytest.raises(ExportFailed, match=f"^{re.escape(message)}$"):
        check_accuracy(7, stable, _paired(100, 120))
    check_accuracy(7, stable, _paired(110, 120))  # 0.92 - 0.91 > 0.01 in floating point
    check_accuracy(7, stable, _paired(200, 120))
    check_accuracy(7, replace(stable, max_regression=None), _paired(0, 120))


def test_a_version_is_refused_where_the_test_says_that_it_is_worse(stable):
    """With a level alone, what gets fewer right is refused where that is no chance; the error says p and the level."""
    tested = replace(stable, max_regression=None, max_regression_p=0.05)
    message = (
        "version 7 is not published: its validation accuracy of 0.8050 is below the 0.8150 of version 4 (stable); "
        "exact McNemar's p = 0.041, max_regression_p = 0.05"
    )
    with pytest.raises(ExportFailed, match=f"^{re.escape(message)}$"):
        check_accuracy(7, tested, _paired(5, 15))
    check_accuracy(7, tested, _paired(6, 15))
    check_accuracy(7, tested, _paired(15, 5))


def test_a_bound_and_a_level_are_both_needed(stable):
    """With both, a version is refused where it lies further below than the bound and the test says so too."""
    tested = replace(stable, max_regression=0.009, max_regression_p=0.05)
    with pytest.raises(ExportFailed, match=r"more than max_regression = 0\.009 below .*; exact McNemar's p = 0\.041"):
        check_accuracy(7, tested, _paired(5, 15))
    check_accuracy(7, replace(tested, max_regression=0.01), _paired(5, 15))
    check_accuracy(7, replace(tested, max_regression_p=0.01), _paired(5, 15))
