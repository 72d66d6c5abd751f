"""The rows of the table: what each version is held against, and in which order they come."""

import json

import numpy as np
import pytest

from tasks.report.rows import differing_keys
from tasks.versions.evidence import mcnemar_p, wilson_interval
from tasks.versions.tree import ERROR, NOTE, WARNING, Fault
from tests.report.versions import LABELS, compared, scores, seen


def test_accuracies_are_counted():
    """Each split has its images, those that are right, the interval, the loss, and what was taken for what."""
    (row,) = compared(seen(1, range(20))).rows
    test, validation = row.measured["test"], row.measured["validation"]
    assert (200, 180, 0.9) == (test.images, test.correct, test.accuracy)
    assert (test.low, test.high) == wilson_interval(180, 200)
    assert pytest.approx(-0.9 * np.log(0.9) - 0.1 * np.log(0.1 / 9), abs=1e-6) == test.loss
    assert (100, 1.0) == (validation.images, validation.accuracy)
    assert (18, 2) == test.confusion_matrix[3][3:5]


def test_scores_that_are_no_probabilities_have_no_loss():
    """A model made elsewhere may answer with any numbers: it has accuracies alone."""
    found = {"validation": scores(LABELS[:100]) * 5, "test": scores(LABELS) * 5}
    (row,) = compared(seen(1, scores=found, made_elsewhere=True)).rows
    assert (1.0, None) == (row.measured["test"].accuracy, row.measured["test"].loss)
    assert {} == row.recipe


def test_all_are_held_against_stable():
    """Images that one of two alone gets right are counted, with the p of the exact test; stable has no difference."""
    found = compared(seen(1, range(30)), seen(2, range(10, 20), labels=["stable"]), seen(3, [0, 15]))
    differences = {row.version: row.difference for row in found.rows}
    assert (2, 3, 2) == (found.reference, found.newest, found.stable)
    assert differences[2] is None
    assert (2, 0, 20) == (differences[1].against, differences[1].only_here, differences[1].only_there)
    assert (9, 1, 8 / 200, mcnemar_p(9, 1)) == (
        differences[3].only_here,
        differences[3].only_there,
        differences[3].accuracy,
        differences[3].p,
    )
    assert found.duel == differences[3]


def test_without_stable_the_newest_is_held_against_the_one_before():
    """And so are the others; one that cannot be measured or is quarantined is not taken for it."""
    found = compared(
        seen(1),
        seen(2, [1]),
        seen(3, measured=False),
        seen(4, name="4.denied", is_quarantined=True),
        seen(5, [1, 2]),
        seen(9, name="9.denied", is_quarantined=True),
    )
    assert (None, 2, 5) == (found.stable, found.reference, found.newest)
    assert (2, 0, 1) == (found.duel.against, found.duel.only_here, found.duel.only_there)


def test_a_stable_that_is_the_newest_is_compared_with_the_one_before():
    """The others are held against it all the same."""
    found = compared(seen(1, [1]), seen(2, [1, 2]), seen(3, labels=["stable"]))
    assert (3, 3, 2) == (found.reference, found.newest, found.duel.against)
    assert [None, 3, 3] == [row.difference and row.difference.against for row in found.rows]


def test_a_stable_that_cannot_be_measured_is_no_measure():
    """It is still named as stable; the newest is held against the one before."""
    found = compared(seen(1), seen(2), seen(3, labels=["stable"], measured=False), seen(4))
    assert (3, 2, 2) == (found.stable, found.reference, found.duel.against)


@pytest.mark.parametrize("versions", [(), (seen(1),), (seen(1, measured=False), seen(2, measured=False))])
def test_nothing_to_compare(versions):
    """No version, one alone, or none that can be asked: there is no difference."""
    found = compared(*versions)
    assert found.duel is None
    assert [None] * len(versions) == [row.difference for row in found.rows]


def test_what_is_served_comes_first():
    """Stable, other labels, loaded ones, the rest from the newest on, and what is quarantined last."""
    found = compared(
        seen(1),
        seen(2, labels=["stable"]),
        seen(3, is_loaded=True),
        seen(4, name="4.denied", is_quarantined=True),
        seen(5),
        seen(6, labels=["canary"], is_loaded=True),
    )
    assert ["2", "6", "3", "5", "1", "4.denied"] == [row.name for row in found.rows]


def test_states_and_faults():
    """The worst fault gives the state; what is wrong with the base path is told, but for notes."""
    kinds = {1: [NOTE], 2: [WARNING, NOTE], 3: [WARNING, ERROR]}
    versions = [seen(n, faults=[Fault(str(n), kind, f"a {kind}") for kind in kind]) for n, kind in kinds.items()]
    found = compared(*versions, faults=[Fault("x", NOTE, "no version"), Fault("7", ERROR, "is a file")])
    assert ["error", "warning", "good"] == [row.state for row in found.rows]
    assert ("a warning", "a error") == found.rows[0].faults
    assert ("7: is a file",) == found.faults


def test_keys_that_differ():
    """Only those, in the order of the recipe; a key that a manifest lacks differs too."""
    versions = [seen(1), seen(2, recipe={"seed": 3}), seen(3, recipe={"model": "cnn"}), seen(4, made_elsewhere=True)]
    assert ["model", "seed"] == differing_keys(compared(*versions).rows)
    assert [] == differing_keys(compared(*versions[:1]).rows)


def test_the_rows_are_json():
    """Everything that the table shows is there for other programs."""
    found = json.loads(json.dumps(compared(seen(1), seen(2, [3], labels=["stable"])).as_dict()))
    assert ["2", "1"] == [row["name"] for row in found["rows"]]
    assert 1 == found["rows"][1]["difference"]["only_here"]
    assert {"1": 0.0001, "128": 0.002} == found["rows"][0]["latency_seconds"]
