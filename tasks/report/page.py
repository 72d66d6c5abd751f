"""The comparison as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from tasks.model.images import LabelledImages
from tasks.report import details, headline
from tasks.report.details import Apart, Recall
from tasks.report.pictures import COLOUR, Line, draw_curves, draw_image, draw_reliability
from tasks.report.rows import TEST, Comparison, Row, Seen, differing_keys
from tasks.versions.compatibility import STABLE
from tasks.versions.manifest import Manifest
from tasks.versions.tree import QUARANTINED

MOST_IMAGES = 12  # of each kind, for each version
CURVES = ((1040, 420), (358, 320))  # pixels: on a screen, and on a phone
RELIABILITY = 190  # pixels
TEMPLATE = "page.html.jinja"


@dataclass(frozen=True)
class Behind:
    """What lies behind one row: where its answers went wrong, and the images that set it apart from another version."""

    row: Row
    recalls: Sequence[Recall]
    wrong_here: Sequence[Apart]
    right_here: Sequence[Apart]


@dataclass(frozen=True)
class Origin:
    """Where a version comes from, and what can be done with it."""

    row: Row
    manifest: Manifest | None
    commands: Mapping[str, str]

    @property
    def files(self) -> dict[str, str]:
        """File -> SHA-256, as the manifest says."""
        entries = self.manifest.files.items() if self.manifest else ()
        return {name: str(entry["sha256"]) for name, entry in entries if isinstance(entry, dict) and "sha256" in entry}


def render(
    found: Comparison,
    seen: Sequence[Seen],
    test: LabelledImages,
    moves: Sequence[Mapping[str, Any]],
    *,
    config_path: Path,
    shape: tuple[int, int, int],
) -> str:
    """Write the page.

    Args:
        found: what is said of the versions.
        seen: the versions.
        test: the images that they were asked about, and the right answers.
        moves: the history of releases, oldest first, as `releases.jsonl` has it.
        config_path: the server's config file.
        shape: height, width and channels of an image.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tasks.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        share=lambda value: f"{value:.4f}",
        signed=lambda value: f"{value:+.4f}".replace("-", "\N{MINUS SIGN}"),
        bytes=_bytes,
        duration=_duration,
        p=headline.p_value,
        picture=lambda index: draw_image(test.images[index], shape),
    )
    by_name = {one.name: one for one in seen}
    accuracies = [end for row in found.rows if TEST in row.measured for end in _ends(row)]
    origins = [_origin(found, row, by_name[row.name].manifest, config_path) for row in found.rows]
    return environment.get_template(TEMPLATE).render(
        found=found,
        title=headline.title(found),
        sentences=headline.sentences(found),
        keys=differing_keys(found.rows),
        low=min(accuracies, default=0.0),
        high=max(accuracies, default=1.0),
        curves=[_curves(found, seen, *size) for size in CURVES],
        without_curve=[_name(one) for one in seen if not one.curve],
        behind=[_behind(found, row, by_name, test) for row in found.rows if row.measured],
        reliability=[part for row in found.rows if (part := _reliability(row, by_name[row.name], test))],
        moves=list(reversed(moves)),
        origins=origins,
        serve=_serve(found, config_path),
        most=MOST_IMAGES,
        is_noise=headline.is_noise,
        stable_label=STABLE,
        is_grey=shape[2] != COLOUR,
        weight=lambda count, counts: 0.1 + 0.35 * min(1.0, 12 * count / sum(counts)),
    )


def _name(one: Seen) -> str:
    return f"{one.number} (quarantined)" if one.is_quarantined else str(one.number)


def _ends(row: Row) -> tuple[float, float]:
    return row.measured[TEST].low, row.measured[TEST].high


def _curves(found: Comparison, seen: Sequence[Seen], width: int, height: int) -> str:
    lines = [
        Line(_name(one), one.curve, one.name == str(found.newest), one.name == str(found.reference))
        for one in sorted(seen, key=lambda one: one.number)
        if one.curve
    ]
    if not lines:
        return ""
    lowest = min(lines, key=lambda line: line.points[-1][1])
    alternative = (
        f"Learning curves: the loss by iterations of versions {', '.join(line.name for line in lines)}; "
        f"version {lowest.name} ends lowest"
    )
    return draw_curves(lines, width=width, height=height, alternative=alternative)


def _behind(found: Comparison, row: Row, by_name: Mapping[str, Seen], test: LabelledImages) -> Behind:
    recalls = details.recalls(row.measured[TEST].confusion_matrix)
    if row.difference is None:
        return Behind(row, recalls, (), ())
    here, there = by_name[row.name].scores[TEST], by_name[found.row(row.difference.against).name].scores[TEST]
    return Behind(row, recalls, *details.images_apart(here, there, np.asarray(test.labels)))


def _reliability(row: Row, one: Seen, test: LabelledImages) -> dict[str, Any]:
    bins = details.reliability(one.scores[TEST], np.asarray(test.labels)) if one.scores else []
    if not bins:
        return {}
    error = details.calibration_error(bins)
    alternative = f"Reliability of version {row.name}: score and accuracy differ by {error:.4f} on average"
    picture = draw_reliability(bins, side=RELIABILITY, alternative=alternative)
    return {"row": row, "error": error, "picture": picture}


def _origin(found: Comparison, row: Row, manifest: Manifest | None, config_path: Path) -> Origin:
    base_path = shlex.quote(found.base_path)
    verify = (f"VerifyVersions --versions {row.version}", f"--base-path {base_path}")
    promote = (
        f"PromoteVersion --label {STABLE} --version {row.version}",
        f"--base-path {base_path}",
        f"--config-path {shlex.quote(str(config_path))}",
    )
    if row.quarantined:
        folder = Path(found.base_path, row.name)
        back = f"mv {shlex.quote(str(folder))} {shlex.quote(str(folder).removesuffix(QUARANTINED))}"
        return Origin(row, manifest, {"bring it back": back})
    commands = {"verify": verify, "promote": promote}
    luigi = {name: _command("luigi --module tasks", *parts, "--local-scheduler") for name, parts in commands.items()}
    return Origin(row, manifest, luigi)


def _serve(found: Comparison, config_path: Path) -> str:
    server = "tensorflow_model_server --port=8500 --rest_api_port=8501"
    if config_path.is_file():
        return _command(
            server,
            f"--model_config_file={shlex.quote(str(config_path))}",
            "--model_config_file_poll_wait_seconds=10",
            "--allow_version_labels_for_unavailable_models",
        )
    name = shlex.quote(Path(found.base_path).name)
    return _command(server, f"--model_name={name}", f"--model_base_path={shlex.quote(found.base_path)}")


def _command(*parts: str) -> str:
    """A command for a shell, with a line for each part."""
    return " \\\n    ".join(parts)


def _bytes(size: float) -> str:
    """12.3 KB."""
    for unit in ("B", "KB", "MB"):
        if size < 1000:  # noqa: PLR2004
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def _duration(seconds: float) -> str:
    """0.12 ms, 22.1 ms, 3.4 s, 5.1 min."""
    if seconds < 0.01:  # noqa: PLR2004
        return f"{1000 * seconds:.2f} ms"
    if seconds < 0.1:  # noqa: PLR2004
        return f"{1000 * seconds:.1f} ms"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"  # noqa: PLR2004
