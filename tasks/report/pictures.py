"""Pictures for a page: curves as SVG by matplotlib, small images as PNG; the same bytes for the same values.

matplotlib knows no stylesheet. So each colour of the page is drawn as a number of its own, and what it stands for takes
its place afterwards: the pictures follow a dark scheme, and use the page's font.
"""

import base64
import io
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from numpy.typing import NDArray

from tasks.report.details import Bin
from tasks.versions.evidence import wilson_interval

COLOURS = {
    "#010101": "var(--ink)",
    "#020202": "var(--soft)",
    "#030303": "var(--line)",
    "#040404": "var(--newest)",
    "#050505": "var(--held)",
    "#060606": "currentcolor",  # of the element around the picture
}
INK, SOFT, LINE, NEWEST, HELD, CURRENT = COLOURS
STYLE: Any = {
    "svg.fonttype": "none",
    "font.size": 12,
    "text.color": INK,
    "axes.facecolor": "none",
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 1.0,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "ytick.major.size": 0.0,
    "ytick.minor.size": 0.0,
    "xtick.minor.size": 0.0,
}
SMOOTHED = 5  # neighbouring points of a curve
MOST_NAMES = 12  # curves that are named where they end
LABEL_HEIGHT = 14  # pixels between two names
COLOUR = 3  # channels


@dataclass(frozen=True)
class Line:
    """A learning curve: (iterations, loss), and whether it is the newest's, or that of what others are held to."""

    name: str
    points: Sequence[tuple[int, float]]
    is_newest: bool = False
    is_held: bool = False

    @property
    def look(self) -> dict[str, Any]:
        """What it is drawn with."""
        if self.is_newest:
            return {"color": NEWEST, "linewidth": 2.4, "zorder": 4}
        return {"color": HELD, "linewidth": 2.0, "zorder": 3} if self.is_held else {"color": SOFT, "linewidth": 1.2}


def draw_curves(lines: Sequence[Line], *, width: int, height: int, alternative: str) -> str:
    """All learning curves on the same axes: faint points as they were told, and the mean of neighbours as a line."""
    with _figure(width, height, alternative) as figure:
        axes = figure.add_axes((44 / width, 46 / height, 1 - 84 / width, 1 - 60 / height))
        axes.set_yscale("log")
        ends = []
        for line in lines:
            done, losses = np.array(line.points).T
            smooth = _means(np.log(np.maximum(losses, 1e-6)))
            axes.plot(done, losses, "o", color=line.look["color"], markersize=2.6, markeredgewidth=0, alpha=0.4)
            axes.plot(done, np.exp(smooth), solid_capstyle="round", **line.look)
            ends.append((line, float(done[-1]), float(np.exp(smooth[-1]))))
        axes.set_xlim(0, max(x for _, x, _ in ends) * 1.02)
        _round_ticks(axes, width)
        axes.set_xlabel("iterations")
        shown = ends if len(ends) <= MOST_NAMES else [end for end in ends if end[0].is_newest or end[0].is_held]
        _name_ends(axes, shown)
        return _svg(figure, alternative)


def draw_reliability(bins: Sequence[Bin], *, side: int, alternative: str) -> str:
    """How often answers with a score were right, beside the score; with 95 % intervals."""
    with _figure(side, side, alternative) as figure:
        axes = figure.add_axes((34 / side, 30 / side, 1 - 44 / side, 1 - 40 / side))
        axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, dashes=(3, 3))
        most = max(one.images for one in bins)
        for one in bins:
            low, high = wilson_interval(one.correct, one.images)
            axes.plot([one.score] * 2, [low, high], color=CURRENT, linewidth=1.2, alpha=0.55)
            size = 3 + 5 * (one.images / most) ** 0.5
            axes.plot(one.score, one.correct / one.images, "o", color=CURRENT, markersize=size, markeredgewidth=0)
        ticks = [0.0, 0.5, 1.0]
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xticks=ticks, yticks=ticks)
        axes.set_xticklabels(["0", "0.5", "1"])
        axes.set_yticklabels(["0", "0.5", "1"])
        return _svg(figure, alternative)


def draw_image(image: NDArray[np.uint8], shape: tuple[int, int, int]) -> str:
    """An image uint8 [784] as the address of a PNG that holds it: in colour, or dark on light in 16 shades.

    `shape` is height, width and channels; images of other than three channels are drawn in grey.
    """
    pixels = image.reshape(shape)
    if shape[2] != COLOUR:
        grey = pixels.mean(axis=2, keepdims=True).astype(np.uint8)
        pixels = (15 - (grey >> 4)) * 17  # fewer shades, a third of the bytes
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)  # each line begins with its filter: none

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">2I5B", shape[1], shape[0], 8, 2 if shape[2] == COLOUR else 0, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows, 9)), chunk(b"IEND", b""))
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()


@contextmanager
def _figure(width: int, height: int, name: str) -> Iterator[Figure]:
    """A figure of that many CSS pixels, whatever a matplotlibrc says; the ids in it are of that name and size alone."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        mpl.rcParams["svg.hashsalt"] = f"{name} {width}"
        figure = Figure(figsize=(width / 72, height / 72))
        figure.patch.set_visible(False)
        yield figure


def _means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each value's mean with its neighbours, fewer at the ends."""
    reach = SMOOTHED // 2
    return np.array([values[max(0, i - reach) : i + reach + 1].mean() for i in range(len(values))])


def _round_ticks(axes: Axes, width: int) -> None:
    low, high = axes.get_ylim()
    ticks = [one for one in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0) if low <= one <= high]
    axes.set_yticks(ticks, [f"{one:g}" for one in ticks])
    axes.minorticks_off()
    axes.grid(visible=False, axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(3 if width < 600 else 8, integer=True))  # noqa: PLR2004
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _name_ends(axes: Axes, ends: Sequence[tuple[Line, float, float]]) -> None:
    """Write each name beside the end of its curve; where ends are close to each other, names move apart."""
    placed = list[tuple[float, float]]()
    for line, x, y in sorted(ends, key=lambda end: end[2]):
        at_x, at_y = (float(part) for part in axes.transData.transform((x, y)))
        for other_x, other_y in sorted(placed):
            if abs(other_x - at_x) < 4 * LABEL_HEIGHT and abs(other_y - at_y) < LABEL_HEIGHT:
                at_y = other_y + LABEL_HEIGHT
        placed.append((at_x, at_y))
        weight = "bold" if line.is_newest or line.is_held else "normal"
        name_x, name_y = axes.transData.inverted().transform((at_x + 6, at_y))
        axes.text(name_x, name_y, line.name, color=line.look["color"], va="center", fontsize=12, fontweight=weight)


def _svg(figure: Figure, alternative: str) -> str:
    """The figure as an element of a page."""
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata={"Date": None})
    text = written.getvalue()
    for pattern, instead in (
        (r"^.*?(?=<svg)", ""),
        (r"<metadata>.*?</metadata>|<defs>\s*<style.*?</defs>|<!--.*?-->", ""),
        (r"font-family: [^;\"]*;? ?", ""),
        (r"font: (?:(\w+) )?([\d.]+px) [^;\"]*", r"font-weight: \1; font-size: \2"),
        (r' id="[a-zA-Z0-9.]+_\d+"', ""),
        (r"(?<=\d)\.(\d{2})\d+", r".\1"),
        (r">\s+<", "><"),
        (r"\s*\n\s*", " "),
        ("xlink:href", "href"),
    ):
        text = re.sub(pattern, instead, text, flags=re.DOTALL)
    for colour, meaning in COLOURS.items():
        text = text.replace(colour, meaning)
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    label = (
        f'<svg role="img" aria-label="{escape(alternative)}" class="picture" style="max-width: {size and size[1]}px"'
    )
    return re.sub(r'<svg xmlns:xlink="[^"]*" width="[^"]*" height="[^"]*"', label, text, count=1)
