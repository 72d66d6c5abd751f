"""What a version must not do to the clients of the version in service: answer worse, or answer another question.

What breaks that rule raises ExportFailed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import ExportFailed

STABLE = "stable"
ROUNDING = 1e-12  # 0.92 - 0.91 is a little more than 0.01


@dataclass(frozen=True)
class Baseline:
    """The version in service, and how far a new one may differ from it."""

    version: int
    directory: Path
    max_regression: float | None = None  # of the validation accuracy; None leaves it unchecked
    allow_signature_change: bool = False  # publishes a version though clients of this one will be refused


def check_signatures(version: int, baseline: Baseline, changes: Sequence[str]) -> None:
    """Make sure that version `version` refuses no client of the version in service, or that this is allowed."""
    if changes and not baseline.allow_signature_change:
        raise ExportFailed(
            f"version {version} is not published: clients of version {baseline.version} "
            f"({STABLE}) would be refused: {'; '.join(changes)}; --allow-signature-change publishes it all the same"
        )


def check_accuracy(version: int, accuracy: float, baseline: Baseline, baseline_accuracy: float) -> None:
    """Make sure that version `version` is no worse than allowed; both accuracies are of the same images."""
    allowed = baseline.max_regression
    if allowed is not None and baseline_accuracy - accuracy > allowed + ROUNDING:
        raise ExportFailed(
            f"version {version} is not published: its validation accuracy of {accuracy:.4f} is more than "
            f"max_regression = {allowed:g} below the {baseline_accuracy:.4f} of version {baseline.version} ({STABLE})"
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
