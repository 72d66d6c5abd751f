"""A picture of memory and open files over time, the same bytes for the same samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.soak.samples import MIB, Sample, by_name

POINTS = 60  # at most, along the time; each shows what lies between two of them
COLOURS = ("#0b62a4", "#b3460e", "#237a3b", "#7a3f99", "#8a6d00")  # 4.5:1 on white
STYLE: Any = {
    "svg.hashsalt": "soak",
    "svg.fonttype": "none",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e3e3",
}
APART = 0.075  # of the height: two names


def draw(samples: Sequence[Sample], path: Path) -> None:
    """Draw them as SVG: the medians of memory above, the fewest open files below, each with its range."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 6), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True)
        _panel(above, samples, lambda one: one.memory / MIB, median)
        _panel(below, samples, lambda one: one.files, min)
        above.set_title("Resident memory (MiB): median and range", loc="left", fontsize=11)
        below.set_title("Open files: fewest and range", loc="left", fontsize=11)
        below.set_xlabel("minutes")
        figure.savefig(path, format="svg", metadata={"Date": None})


def _panel(axes: Any, samples: Sequence[Sample], value: Callable[[Sample], float], middle: Callable[..., Any]) -> None:
    ends = []
    width = max(one.seconds for one in samples) / POINTS
    for colour, (name, found) in zip(COLOURS, by_name(samples).items(), strict=False):
        parts: dict[int, list[float]] = {}
        for one in found:
            parts.setdefault(int(one.seconds / width), []).append(value(one))
        minutes = [(part + 0.5) * width / 60 for part in parts]
        line = [middle(values) for values in parts.values()]
        axes.plot(minutes, line, color=colour, linewidth=1.8)
        axes.fill_between(
            minutes, *zip(*((min(v), max(v)) for v in parts.values()), strict=True), color=colour, alpha=0.2
        )
        ends.append((line[-1], name, colour))
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, POINTS * width / 60)
    _, top = axes.get_ylim()
    height = -top
    for value_at_end, name, colour in sorted(ends):  # from below, none over another
        height = max(value_at_end, height + APART * top)
        axes.annotate(
            name, (1.01, height), xycoords=("axes fraction", "data"), color=colour, va="center", annotation_clip=False
        )
