"""The table at the end of a run that was asked for versions, and what one can do with them."""

import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import luigi

from tasks.versions.manifest import read_manifest
from tasks.versions.wanted_version import WantedVersion
from tasks.wiring.command_line import command
from tasks.wiring.records import read_records

HEAD = ("version", "model", "iterations", "validation", "test", "size", "seconds", "")
EDGE = 10  # rows at either end of a long table; what failed is always in it
STATES = {"completed": "made", "failed": "failed", "scheduling_error": "failed", "run_by_other_worker": "elsewhere"}
WAS_THERE = "was there"


def tell(tasks: Iterable[luigi.Task], groups: Mapping[str, Collection[luigi.Task]]) -> str:
    """The versions that a run was asked for, where they lie, how to serve and how to check them; else nothing.

    `groups` are Luigi's: what became of a task -> the tasks.
    """
    exports = sorted(_exports(tasks), key=lambda task: task.base_path)
    trees = groupby(exports, key=lambda task: task.base_path)
    return "\n\n".join("\n".join(_tell_tree(list(tree), groups)) for _, tree in trees)


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of a table as lines; numbers, and what stands above them, are on the right of their column."""
    cells = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in cells]
    right = [any(cell[:1].isdigit() for cell in column[1:]) for column in cells]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    ]


def _exports(tasks: Iterable[luigi.Task]) -> Iterator[luigi.Task]:
    """The tasks that make a version, behind whatever wrapper."""
    for task in tasks:
        output = task.output  # of CompareVersions it is a parameter
        if callable(output) and isinstance(output(), WantedVersion):
            yield task
        elif isinstance(task, luigi.WrapperTask):
            # a large set requires parts, and to make these takes as long as all else of a run that has nothing to do
            yield from _exports(getattr(task, "exports", None) or luigi.task.flatten(task.requires()))


def _tell_tree(exports: list[luigi.Task], groups: Mapping[str, Collection[luigi.Task]]) -> list[str]:
    states = [_state(task, groups) for task in exports]
    shown = [
        number
        for number, state in enumerate(states)
        if number < EDGE or number >= len(states) - EDGE or state not in {"made", WAS_THERE}
    ]
    records = read_records(exports[0].work_dir, "ExportVersion")
    rows = [HEAD, *(_row(exports[number], states[number], records) for number in shown)]
    lines = columns(rows)
    if len(shown) < len(states):
        counts = ", ".join(f"{states.count(state):,} {state}" for state in dict.fromkeys(states))
        lines.append(f"{len(states):,} versions: {counts}; not all are shown")
    base_path = exports[0].base_path
    if any(state in {"made", WAS_THERE} for state in states):
        name = Path(base_path).name
        mount = shlex.quote(f"type=bind,source={base_path},target=/models/{name},readonly")
        ports = "-p 127.0.0.1:8500:8500 -p 127.0.0.1:8501:8501"
        serve = f"docker run --rm {ports} --mount {mount} -e MODEL_NAME={shlex.quote(name)} tensorflow/serving"
        check = command(exports[0], "VerifyVersions", "base_path")
        lines += ["", f"They lie in {base_path}", f"Serve them: {serve}", f"Check them: {check}"]
    return lines


def _state(task: luigi.Task, groups: Mapping[str, Collection[luigi.Task]]) -> str:
    """What became of a version; one that Luigi did not even look at was there, with all of its set."""
    for group, members in groups.items():
        if group not in {"already_done", "ever_failed"} and task in members:
            return STATES.get(group, "not made")
    return WAS_THERE


def _row(task: luigi.Task, state: str, records: Mapping[str, Any]) -> tuple[str, ...]:
    manifest = read_manifest(task.output().path) if state in {"made", WAS_THERE} else None
    if manifest is None:
        return (str(task.version), task.model, str(task.training_iteration), "-", "-", "-", "-", state)
    accuracies = manifest.accuracies
    record = records.get(str(task.output().path), {})  # where the work directory was deleted, nobody knows
    return (
        str(task.version),
        str(manifest.recipe["model"]),
        str(manifest.recipe["training_iteration"]),
        *(f"{accuracies[split]:.4f}" if split in accuracies else "-" for split in ("validation", "test")),
        f"{manifest.size / 1e6:.1f} MB",
        f"{record.get('seconds', 0) + record.get('training_seconds', 0):.1f}" if record else "-",
        state,
    )
