"""Tasks that only look.

VerifyVersions looks at a version tree as a server and an auditor would. It has no output: every run looks anew.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import luigi

from tasks.data.dataset import DATASETS, find_dataset
from tasks.errors import ExportFailed, InvalidParameter, PipelineError, TrainingFailed, VerificationFailed
from tasks.model.architectures import find_architecture
from tasks.model.tensorflow_setup import prepare_tensorflow
from tasks.pipeline import PrepareDataset
from tasks.storage import checksums, publishing
from tasks.versions.manifest import Manifest, read_manifest
from tasks.versions.tree import ERROR, Fault, served_names
from tasks.versions.wanted_version import WantedVersion
from tasks.wiring import records as provenance
from tasks.wiring.failures import ReportedTask, reporter
from tasks.wiring.parameters import FolderParameter, VersionsParameter
from tasks.wiring.recipe_lookup import total_iterations, training_setting

if TYPE_CHECKING:
    from tasks.savedmodel.verification import Verified


class VerifyVersions(ReportedTask):
    """Whether a server can serve what lies in a base path, and whether it still is what was exported.

    Prints a table; fails if it finds an error. With `rebuild`, each version that has a manifest is trained and
    exported again, aside, and compared byte for byte.
    """

    base_path = FolderParameter(default="models/mnist", description="the folder that TensorFlow Serving watches")
    work_dir = FolderParameter(default="work", description="folder with the arrays that rebuild trains on")
    versions = VersionsParameter(default=(), description="such as 1,2,3 or 1-10; all by default")
    rebuild = luigi.BoolParameter(description="train and export every version again, and compare the bytes")

    done = False

    def complete(self) -> bool:
        return self.done

    def requires(self) -> list[luigi.Task]:
        """The arrays of every dataset that has to be trained on again."""
        names = {str(manifest.recipe.get("dataset")) for _, manifest in self.rebuildable}
        return [PrepareDataset(dataset=name, work_dir=self.work_dir) for name in sorted(names & DATASETS.keys())]

    @property
    def rebuildable(self) -> list[tuple[Path, Manifest]]:
        """The versions to be made again, with their manifests."""
        base_path = Path(self.base_path)
        served = served_names(base_path) if self.rebuild else {}
        folders = [base_path / name for number, name in served.items() if not self.versions or number in self.versions]
        return [(folder, manifest) for folder in folders if (manifest := read_manifest(folder)) is not None]

    def run(self) -> None:
        rebuildable = self.rebuildable
        prepare_tensorflow(next((manifest.threads for _, manifest in rebuildable), training_setting("threads")))
        from tasks.savedmodel import verification

        again = [fault for folder, manifest in rebuildable for fault in self.rebuild_version(folder, manifest)]
        with publishing.explain_os_errors(Path(self.base_path)):
            faults, versions = verification.verify_tree(Path(self.base_path), self.versions, report=reporter(self))
        faults = [*faults, *again, *(fault for version in versions for fault in version.faults)]
        print(table(versions, faults), flush=True)  # noqa: T201 - what it is for
        errors = [fault for fault in faults if fault.severity == ERROR]
        if errors:
            first = ": ".join(part for part in (errors[0].name, errors[0].message) if part)
            count = f"{len(errors)} error{'' if len(errors) == 1 else 's'}"
            raise VerificationFailed(f"{self.base_path}: {count}; the first: {first}")
        self.done = True

    def rebuild_version(self, directory: Path, manifest: Manifest) -> list[Fault]:
        """Train and export a version again from its manifest, and compare."""
        try:
            differing = self.differing_files(directory, manifest)
        except (ExportFailed, TrainingFailed, InvalidParameter, KeyError, TypeError) as error:
            why = str(error) if isinstance(error, PipelineError) else "its manifest holds no recipe of this release"
            return [Fault(directory.name, ERROR, f"cannot be made again: {why}")]
        if not differing:
            return []
        return [Fault(directory.name, ERROR, f"made again, it differs in {', '.join(differing)}{_why(manifest)}")]

    def differing_files(self, directory: Path, manifest: Manifest) -> list[str]:
        """The files of a version that come out otherwise when it is made again.

        Raises:
            PipelineError: it cannot be made again.
            KeyError, TypeError: its recipe is none.
        """
        prepare_tensorflow(manifest.threads)
        from tasks.data import arrays
        from tasks.model import training
        from tasks.savedmodel import export

        recipe: dict[str, Any] = dict(manifest.recipe)
        dataset, stop = find_dataset(recipe.pop("dataset")), recipe.pop("training_iteration")
        if dict(manifest.dataset_checksums) != dataset.checksums:
            raise InvalidParameter(f"it was made from another {dataset.name}, the archives differ")
        splits = arrays.map_arrays(PrepareDataset(dataset=dataset.name, work_dir=self.work_dir).directory)
        show = reporter(self)
        weights = training.train(
            training.TrainingPlan(**recipe, total_iterations=total_iterations(recipe["schedule"], stop)),
            splits.training.images,
            splits.training.labels,
            start=0,
            stop=stop,
            state=None,
            report=lambda done, _: show(done / stop, f"training version {directory.name} again"),
        )
        with publishing.scratch_directory(Path(self.work_dir, "rebuilt")) as scratch:
            export.export_version(
                scratch,
                WantedVersion(
                    base_path=scratch,
                    version=manifest.model_version,
                    recipe=manifest.recipe,
                    threads=manifest.threads,
                    warmup_records=manifest.warmup_records,
                    min_accuracy=0.0,
                ),
                scores=find_architecture(recipe["model"]).scores,
                weights=weights,
                measured_on={"validation": splits.validation, "test": splits.test},
                dataset_checksums=dataset.checksums,
                made_with=provenance.made_with(),
            )
            here, made = checksums.list_files(directory), checksums.list_files(scratch)
        return [name for name in sorted({*here, *made}) if here.get(name) != made.get(name)]


def table(versions: Iterable[Verified], faults: Iterable[Fault]) -> str:
    """Versions with their state, then every fault: one line each."""
    faults = list(faults)
    counts = Counter((fault.name, fault.severity) for fault in faults)
    lines = [f"{'version':<20} {'state':<8} {'model':<10} {'validation':>10}  {'test':>6}"]
    for version in versions:
        state = next((severity for severity in ("error", "warning") if counts[version.name, severity]), "good")
        model, accuracies = "?", ["?", "?"]
        if version.manifest:
            model = str(version.manifest.recipe.get("model", "?"))
            metrics = [version.manifest.metrics.get(split, {}) for split in ("validation", "test")]
            accuracies = [f"{entry['accuracy']:.4f}" if "accuracy" in entry else "?" for entry in metrics]
        lines.append(f"{version.name:<20} {state:<8} {model:<10} {accuracies[0]:>10}  {accuracies[1]:>6}")
    lines += [f"{fault.severity:<7} {fault.name or 'base path'}: {fault.message}" for fault in faults]
    return os.linesep.join(lines)


def _why(manifest: Manifest) -> str:
    here = provenance.made_with()
    changed = [f"{name} {manifest.made_with.get(name)}, here {now}" for name, now in here.items()]
    return f" (made with {'; '.join(changed)})" if dict(manifest.made_with) != here else ""
