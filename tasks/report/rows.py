"""What is said of each version, as one row a version: from plain values, without reading or drawing anything."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.model.evaluation import evaluate
from tasks.versions.compatibility import STABLE
from tasks.versions.evidence import mcnemar_p, wilson_interval
from tasks.versions.manifest import Manifest
from tasks.versions.tree import ERROR, NOTE, WARNING, Fault

TEST = "test"
SUM_OF_SCORES = 1e-3  # how far it may be from 1 to be called a distribution


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A version as it was found: what lies there, what it answered, and what the work directory knows of it.

    `scores` is empty for a version that could not be asked: split -> float32 [n, 10].
    """

    name: str
    number: int
    manifest: Manifest | None
    faults: Sequence[Fault]
    size: int  # bytes
    labels: Sequence[str] = ()
    is_loaded: bool = False
    is_quarantined: bool = False
    scores: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    latencies: Mapping[int, float] = field(default_factory=dict)  # images in a request -> seconds
    curve: Sequence[tuple[int, float]] = ()  # iterations done, loss of the last batch
    training_seconds: float | None = None
    export: Mapping[str, Any] = field(default_factory=dict)  # its line in records.jsonl


@dataclass(frozen=True)
class Measured:
    """Answers to one split: accuracy with its 95 % interval, and the loss, None where scores do not add up to 1."""

    images: int
    correct: int
    accuracy: float
    low: float
    high: float
    loss: float | None
    confusion_matrix: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Difference:
    """What tells two versions apart on the same test images: those that one of them alone gets right."""

    against: int
    only_here: int
    only_there: int
    accuracy: float  # here, less there
    p: float  # exact McNemar, two-sided


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table; `measured` is by split, and empty for a version that could not be asked."""

    version: int
    name: str
    state: str
    faults: tuple[str, ...]
    labels: tuple[str, ...]
    loaded: bool
    quarantined: bool
    recipe: Mapping[str, Any]
    measured: Mapping[str, Measured]
    difference: Difference | None
    bytes: int
    latency_seconds: Mapping[int, float]
    training_seconds: float | None
    export: Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """All rows, those that are served first; `reference` is what the others are held against.

    `duel` is the difference of the newest version to the reference, or to the one before it where it is that itself.
    """

    base_path: str
    dataset: str
    class_names: tuple[str, ...]
    rows: tuple[Row, ...]
    stable: int | None
    reference: int | None
    newest: int | None
    duel: Difference | None
    faults: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For other programs, as JSON has it."""
        return asdict(self)

    def row(self, version: int) -> Row:
        """The row of a version that is not quarantined."""
        return next(row for row in self.rows if row.version == version and not row.quarantined)


def compare(
    seen: Sequence[Seen],
    labels: Mapping[str, NDArray[np.uint8]],
    *,
    base_path: str,
    dataset: str,
    class_names: tuple[str, ...],
    faults: Iterable[Fault],
) -> Comparison:
    """Hold versions against each other.

    Args:
        seen: the versions.
        labels: split -> the right answers, uint8 [n].
        base_path: where they lie.
        dataset: whose images they were asked about.
        class_names: what each of its labels stands for.
        faults: what is wrong with the base path besides.
    """
    present = sorted((one for one in seen if not one.is_quarantined), key=lambda one: one.number)
    asked = [one for one in present if one.scores]
    stable = next((one for one in present if STABLE in one.labels), None)
    newest = present[-1] if present else None
    before = [one for one in asked if newest is not None and one.number < newest.number]
    reference = stable if stable is not None and stable.scores else before[-1] if before else None
    opponent = reference if reference is not newest else before[-1] if before else None
    duel = None
    if newest is not None and newest.scores and opponent is not None:
        duel = _difference(newest, opponent, labels)
    rows = [_row(one, reference, labels) for one in seen]
    return Comparison(
        base_path,
        dataset,
        class_names,
        tuple(sorted(rows, key=_served_first)),
        stable=None if stable is None else stable.number,
        reference=None if reference is None else reference.number,
        newest=None if newest is None else newest.number,
        duel=duel,
        faults=tuple(f"{fault.name}: {fault.message}" for fault in faults if fault.severity != NOTE),
    )


def differing_keys(rows: Sequence[Row]) -> list[str]:
    """The recipe keys in which versions differ, in the order of the recipe."""
    recipes = [row.recipe for row in rows if row.recipe]
    keys = dict.fromkeys(key for recipe in recipes for key in recipe)
    return [key for key in keys if len({str(recipe.get(key)) for recipe in recipes}) > 1]


def is_distribution(scores: NDArray[np.float32]) -> bool:
    """Whether the scores of each image are probabilities: without that there is no loss, and nothing to rely on."""
    return bool((scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=SUM_OF_SCORES))


def _row(one: Seen, reference: Seen | None, labels: Mapping[str, NDArray[np.uint8]]) -> Row:
    found = {fault.severity for fault in one.faults}
    state = "quarantined" if one.is_quarantined else next((kind for kind in (ERROR, WARNING) if kind in found), "good")
    is_held_against = reference is not None and reference is not one and one.scores
    return Row(
        version=one.number,
        name=one.name,
        state=state,
        faults=tuple(fault.message for fault in one.faults),
        labels=tuple(one.labels),
        loaded=one.is_loaded,
        quarantined=one.is_quarantined,
        recipe=one.manifest.recipe if one.manifest else {},
        measured={split: _measured(scores, labels[split]) for split, scores in one.scores.items()},
        difference=_difference(one, reference, labels) if reference is not None and is_held_against else None,
        bytes=one.size,
        latency_seconds=dict(one.latencies),
        training_seconds=one.training_seconds,
        export=dict(one.export),
    )


def _measured(scores: NDArray[np.float32], labels: NDArray[np.uint8]) -> Measured:
    found = evaluate(scores, labels)
    correct = sum(found.confusion_matrix[digit][digit] for digit in range(len(found.confusion_matrix)))
    loss = found.mean_loss if is_distribution(scores) else None
    low, high = wilson_interval(correct, found.examples)
    return Measured(found.examples, correct, found.accuracy, low, high, loss, found.confusion_matrix)


def _difference(here: Seen, there: Seen, labels: Mapping[str, NDArray[np.uint8]]) -> Difference:
    hits, others = (one.scores[TEST].argmax(axis=1) == labels[TEST] for one in (here, there))
    only_here, only_there = int((hits & ~others).sum()), int((others & ~hits).sum())
    accuracy = (only_here - only_there) / len(hits)
    return Difference(there.number, only_here, only_there, accuracy, mcnemar_p(only_here, only_there))


def _served_first(row: Row) -> tuple[bool, bool, bool, bool, int]:
    return row.quarantined, STABLE not in row.labels, not row.labels, not row.loaded, -row.version
