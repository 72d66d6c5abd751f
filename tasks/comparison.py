"""The task that compares the versions of a tree, on one page for people and as rows for programs.

All versions are asked about the same images, whatever they were trained on. What only the work directory knows (how
the loss fell, how long it took) is shown as far as it is still there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import luigi

from tasks.data.dataset import find_dataset
from tasks.errors import InvalidParameter, StorageFailed
from tasks.execution import calls
from tasks.execution.curves import read_curve
from tasks.inspection import InspectionTask, find_folders, task_that_made
from tasks.pipeline import PrepareDataset
from tasks.recipes.checks import one_of
from tasks.recipes.recipe import KEYS
from tasks.serving.release_log import ReleaseLog
from tasks.storage import disk_errors, publishing
from tasks.versions.manifest import read_manifest
from tasks.versions.signing import find_public_key
from tasks.wiring.parameters import CheckedParameter, FlagParameter, FolderParameter, PublicKeyParameter
from tasks.wiring.progress import Reporter, counted
from tasks.wiring.recipe_lookup import complete_values
from tasks.wiring.records import find_exports
from tasks.wiring.terminal import say_last

if TYPE_CHECKING:  # costs NumPy
    from tasks.report.rows import Seen


class CompareVersions(InspectionTask):
    """Versions held against each other and the one that the label stable points at, on one HTML page.

    With `--format json` it prints the rows of the page's table instead.
    """

    work_dir = FolderParameter(default="work", description="folder with arrays and trainings, and room for the page")
    config_path = FolderParameter(default="models/models.config", description="the server's config file, with labels")
    dataset = luigi.Parameter(default="", description="whose images; default: those of the newest version's recipe")
    output = FolderParameter(
        default="", description="the file; default: <work_dir>/comparison.html, and for json the standard output"
    )
    format = CheckedParameter(one_of(("html", "json")), "html", "html, or json for programs")
    public_key = PublicKeyParameter("file with a public key: what is not signed by it is not loaded")
    measure_again = FlagParameter(description="time requests anew, and do not use what the work directory keeps")

    def run(self) -> Iterator[Any]:
        calls.start()  # TensorFlow is imported meanwhile
        output = self.find_output()
        prepared = PrepareDataset(dataset=self.find_dataset(), work_dir=self.work_dir)
        yield prepared
        report = Reporter(self, "asking the versions")
        title, told, count = self.compare(prepared, report)
        if output is None:
            print(told, flush=True)  # noqa: T201 - what it is for
        else:
            publishing.publish_file(output, told.encode(errors="replace") + b"\n")
            say_last(f"{title}: {output}")
        self.done = True
        report.finish(f"{counted(count, 'version')} compared")

    def compare(self, prepared: PrepareDataset, report: Reporter) -> tuple[str, str, int]:
        """Ask all versions about the same images; gives the title, the page or the rows, and how many they are."""
        from tasks.data.arrays import map_arrays
        from tasks.execution.survey import survey
        from tasks.report import headline, rows

        base_path, config_path, dataset = Path(self.base_path), Path(self.config_path), find_dataset(prepared.dataset)
        with disk_errors.explain_os_errors(base_path):
            seen, faults = survey(
                base_path,
                self.versions,
                config_path,
                prepared.directory,
                classes=len(dataset.class_names),
                kept=Path(self.work_dir, "latencies"),
                measure_again=self.measure_again,
                threads=int(complete_values({"threads": None})["threads"] or 0),
                public_key=find_public_key(self.public_key),
                report=report,
            )
        exports = find_exports(Path(self.work_dir))
        seen = [
            replace(one, export=exports.get(str(base_path / str(one.number)), {}), **self.curve_of(one)) for one in seen
        ]
        splits = map_arrays(prepared.directory)
        labels = {"validation": splits.validation.labels, "test": splits.test.labels}
        found = rows.compare(
            seen,
            labels,
            base_path=self.base_path,
            dataset=prepared.dataset,
            class_names=dataset.class_names,
            faults=faults,
        )
        if self.format == "json":
            told = json.dumps(found.as_dict(), indent=1)
        else:
            moves = find_moves(config_path, base_path)
            told = _page().render(found, seen, splits.test, moves, config_path=config_path, shape=dataset.shape)
        return headline.title(found), told, len(seen)

    def find_output(self) -> Path | None:
        """Where the result goes, None for the standard output; raises what would come after minutes of measuring."""
        if self.format == "html":
            _page()
        elif not self.output:
            return None
        output = Path(self.output or Path(self.work_dir, "comparison.html"))
        if Path(self.base_path).resolve() in output.resolve().parents:
            raise InvalidParameter(f"output {output}: must not lie in the base path, which holds versions only")
        if output.is_dir():
            raise StorageFailed(f"{output}: a folder is in the way of a file")
        disk_errors.check_writable(output.parent)
        return output

    def find_dataset(self) -> str:
        """The dataset that was given, or that of the newest version with a manifest."""
        manifests = [read_manifest(folder) for folder in reversed(find_folders(Path(self.base_path), self.versions))]
        named = [str(one.recipe["dataset"]) for one in manifests if one is not None and one.recipe.get("dataset")]
        return str(self.dataset or next(iter(named), KEYS["dataset"].default))

    def curve_of(self, one: Seen) -> dict[str, Any]:
        """The learning curve of a version, and how long its training took, if the work directory still has it."""
        if one.manifest is None:
            return {}
        try:
            places = {name: Path(getattr(self, name)) for name in ("base_path", "work_dir", "config_path")}
            made = task_that_made(one.manifest, **places)
        except (TypeError, ValueError):  # another release's, or anything that a damaged manifest may hold
            return {}
        curve = read_curve(made.needed_training.directory)
        return {} if curve is None else {"curve": curve.points, "training_seconds": curve.seconds}


def find_moves(config_path: Path, base_path: Path) -> list[dict[str, Any]]:
    """The moves of labels and versions of one base path, oldest first; raises InvalidReleaseLog."""
    here = base_path.resolve()
    moves = [asdict(move) for move in ReleaseLog(config_path.parent).moves()]
    return [move for move in moves if move["config"] == config_path.name and Path(move["base_path"]).resolve() == here]


def _page() -> Any:
    """What makes the page; raises InvalidParameter where the extra is not installed."""
    try:
        from tasks.report import page
    except ModuleNotFoundError as error:
        raise InvalidParameter(
            f"the page needs {error.name}, which is not installed: pip install 'mnist-versions[report]' "
            "(from a checkout: pip install -e '.[report]'); --format json needs nothing"
        ) from error
    return page
