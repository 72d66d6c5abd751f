"""What a version must not do to the clients of the version in service: answer worse, or answer another question.

What breaks that rule raises ExportFailed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import ExportFailed
from tasks.versions.evidence import is_worse, mcnemar_p

STABLE = "stable"
ROUNDING = 1e-12  # 0.92 - 0.91 is a little more than 0.01


@dataclass(frozen=True)
class Baseline:
    """The version in service, and how far a new one may differ from it."""

    version: int
    directory: Path
    max_regression: float | None = None  # of the validation accuracy; None leaves it unchecked
    max_regression_p: float | None = None  # level of the test that it has to fail; None asks for no test
    allow_signature_change: bool = False  # publishes a version though clients of this one will be refused


def check_signatures(version: int, baseline: Baseline, changes: Sequence[str]) -> None:
    """Make sure that version `version` refuses no client of the version in service, or that this is allowed."""
    if changes and not baseline.allow_signature_change:
        raise ExportFailed(
            f"version {version} is not published: clients of version {baseline.version} "
            f"({STABLE}) would be refused: {'; '.join(changes)}; --allow-signature-change publishes it all the same"
        )


@dataclass(frozen=True)
class Paired:
    """A new version and the one in service, asked about the same validation images."""

    images: int
    right: int  # in the new version
    baseline_right: int
    only_right: int  # in the new version, and wrong in the other
    only_baseline_right: int

    @property
    def accuracy(self) -> float:
        """Of the new version."""
        return self.right / self.images

    @property
    def baseline_accuracy(self) -> float:
        """Of the version in service."""
        return self.baseline_right / self.images

    @property
    def p(self) -> float:
        """How often equals would differ by so much: exact McNemar, two-sided."""
        return mcnemar_p(self.only_right, self.only_baseline_right)


def check_accuracy(version: int, baseline: Baseline, paired: Paired) -> None:
    """Make sure that version `version` is no worse than allowed.

    With a bound alone, it may lie that far below; with a level alone, it must not be worse by the test; with both it is
    refused only where it lies further below, and the test says so too.
    """
    bound, level = baseline.max_regression, baseline.max_regression_p
    if bound is None and level is None:
        return
    if bound is not None and paired.baseline_accuracy - paired.accuracy <= bound + ROUNDING:
        return
    if level is not None and not is_worse(paired.only_right, paired.only_baseline_right, level):
        return
    how_far = "" if bound is None else f"more than max_regression = {bound:g} "
    how_sure = "" if level is None else f"; exact McNemar's p = {paired.p:.2g}, max_regression_p = {level:g}"
    raise ExportFailed(
        f"version {version} is not published: its validation accuracy of {paired.accuracy:.4f} is {how_far}below the "
        f"{paired.baseline_accuracy:.4f} of version {baseline.version} ({STABLE}){how_sure}"
    )


def breaking_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What clients of signatures `before` stumble over in `after`; both as `describe_signatures` gives them.

    A further signature or output breaks nobody. A further input does: the server refuses requests without it (unless a
    signature has a default for it, which no version of this pipeline has).
    """
    changes = []
    for name, old in before.items():
        if name not in after:
            changes.append(f"signature {name} is gone")
            continue
        new = after[name]
        if old["method"] != new["method"]:
            changes.append(f"{name}: method {old['method']} -> {new['method']}")
        for kind in ("inputs", "outputs"):
            for tensor, was in old[kind].items():
                what = f"{name}: {kind[:-1]} {tensor}"
                if tensor not in new[kind]:
                    changes.append(f"{what} is gone")
                    continue
                now = new[kind][tensor]
                if was["dtype"] != now["dtype"]:
                    changes.append(f"{what}: {was['dtype']} -> {now['dtype']}")
                asked, given = (now, was) if kind == "inputs" else (was, now)
                # a shape of unknown rank (the tutorial's exports have no other) promised nothing that could be broken
                if was["shape"] is not None and not _fits(asked["shape"], given["shape"]):
                    found = "unknown" if now["shape"] is None else now["shape"]
                    changes.append(f"{what}: shape {was['shape']} -> {found}")
        changes += [f"{name}: input {tensor} is new" for tensor in new["inputs"] if tensor not in old["inputs"]]
    return changes


def _fits(asked: list[int] | None, given: list[int] | None) -> bool:
    """Whether every tensor of the shape `given` also has the shape `asked`; None is a shape of unknown rank."""
    if asked is None or given is None:
        return asked is None
    return len(asked) == len(given) and all(wanted in {-1, size} for wanted, size in zip(asked, given, strict=True))
