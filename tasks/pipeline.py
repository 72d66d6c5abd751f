"""The chain from the archives to the version tree, in the order in which it runs.

DownloadDataset fetches and verifies the four archives; PrepareDataset decodes them into arrays that processes
share. TrainModel trains one segment and continues from the one before it, so that versions that differ only in
`training_iteration` share their training. ExportVersion writes the SavedModel aside, loads it again, measures
what it loaded, applies the gate and publishes the version; ExportAllVersions asks for a set of them.
"""

import logging
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import luigi

from tasks.data.dataset import find_dataset
from tasks.errors import InvalidParameter, PipelineError
from tasks.execution import calls
from tasks.execution.computations import export_version, train_segment
from tasks.execution.lineage import dataset_folder, lineage
from tasks.model.tensorflow_setup import INSTRUCTION_SET
from tasks.recipes.checks import whole_number
from tasks.recipes.recipe import MOST_ITERATIONS, ActsOn
from tasks.serving.baseline import find_baseline
from tasks.storage import checksums, publishing
from tasks.versions import numbers
from tasks.versions.compatibility import Baseline
from tasks.versions.wanted_version import WantedVersion
from tasks.wiring.base_tasks import (
    CompletedTask,
    DataParameters,
    ExportParameters,
    TrainingParameters,
    with_keys_that_decide,
)
from tasks.wiring.execution_settings import chosen_cluster
from tasks.wiring.failures import ReportedTask
from tasks.wiring.parameters import (
    CheckedParameter,
    FolderParameter,
    ListOfStringsParameter,
    VersionParameter,
    VersionsParameter,
)
from tasks.wiring.progress import reporter
from tasks.wiring.records import recorded

logger = logging.getLogger(__name__)

PART = 100  # versions; a set of more is handed to Luigi in parts of so many


class DownloadDataset(CompletedTask, DataParameters):
    """The four archives of a dataset, fetched from the first mirror that gives the right bytes."""

    archive_dir = FolderParameter(default="", description="where the archives lie; default: <work_dir>/archives/<name>")
    mirrors = ListOfStringsParameter(
        default=(), significant=False, description="folders to fetch from: http(s)://, file:// or plain paths"
    )

    @property
    def directory(self) -> Path:
        """Where the archives lie."""
        return Path(self.archive_dir or Path(self.work_dir, "archives", self.dataset))

    def output(self) -> list[luigi.LocalTarget]:
        return [luigi.LocalTarget(self.directory / archive.name) for archive in find_dataset(self.dataset).archives]

    def complete(self) -> bool:
        return all(archive.lies_in(self.directory) for archive in find_dataset(self.dataset).archives)

    def run(self) -> None:
        from tasks.data import digits, download

        dataset = find_dataset(self.dataset)
        with recorded(self, self.work_dir):
            if dataset.is_embedded:
                digits.write_archives(dataset, self.directory)
            else:
                download.fetch_archives(dataset, self.mirrors or dataset.mirrors, self.directory, report=reporter(self))


class PrepareDataset(CompletedTask, DataParameters):
    """The archives decoded and split into arrays that any number of trainings map into memory."""

    def requires(self) -> luigi.Task:
        return self.clone(DownloadDataset)

    @property
    def directory(self) -> Path:
        """Where the arrays lie."""
        return Path(self.work_dir, "datasets", dataset_folder(find_dataset(self.dataset)))

    def output(self) -> luigi.LocalTarget:
        return luigi.LocalTarget(self.directory)

    def complete(self) -> bool:
        return checksums.is_intact(self.directory, remember=True)

    def run(self) -> None:
        from tasks.data import arrays

        if self.directory.exists():
            logger.warning("%s is damaged; the archives are decoded again", self.directory)
        reporter(self)(0.0, "decoding the archives")
        with recorded(self, self.work_dir), publishing.publish_sealed(self.directory) as aside:
            arrays.write_arrays(find_dataset(self.dataset), self.requires().directory, aside)


@with_keys_that_decide(ActsOn.CHECKPOINTS)
class TrainModel(CompletedTask, TrainingParameters):
    """One segment of a training: the state after `training_iteration` iterations.

    It continues from the segment before it, so a training that was killed, one that is extended and two versions
    that share a recipe all find what is already there; the bits are the same as without a stop.
    """

    total_iterations = CheckedParameter(
        whole_number(0, MOST_ITERATIONS), 0, "iterations after which the schedule ends; 0: with this segment, or never"
    )

    def requires(self) -> dict[str, luigi.Task]:
        return self.needed

    @cached_property
    def needed(self) -> dict[str, luigi.Task]:
        """The arrays, and the segment before this one if there is one; made once, since Luigi asks often."""
        dataset = {"dataset": self.clone(PrepareDataset)}
        before = (self.training_iteration - 1) // self.segment * self.segment
        if not before:
            return dataset
        return {**dataset, "previous": self.clone(training_iteration=before, total_iterations=self.schedule_end)}

    @property
    def schedule_end(self) -> int:
        """After how many iterations the schedule ends; 0 for one that does not, or its training could not be shared."""
        if self.schedule == "constant":
            return 0
        if self.total_iterations and self.total_iterations < self.training_iteration:
            raise InvalidParameter(
                f"total_iterations = {self.total_iterations}: allowed are 0 and whole numbers from "
                f"{self.training_iteration:,} (training_iteration) to {MOST_ITERATIONS:,}"
            )
        return int(self.total_iterations or self.training_iteration)

    @property
    def directory(self) -> Path:
        """Where the segment lies."""
        training = lineage(self.recipe, self.schedule_end)
        return Path(self.work_dir, "training", training, str(self.training_iteration))

    def output(self) -> luigi.LocalTarget:
        return luigi.LocalTarget(self.directory)

    def complete(self) -> bool:
        return checksums.is_intact(self.directory)

    def run(self) -> None:
        if self.directory.exists():
            logger.warning("%s is damaged; this segment is trained again", self.directory)
        cores = os.cpu_count() or 1
        if self.threads > cores:
            logger.warning("threads = %d: this machine has %d cores; more threads make it slower", self.threads, cores)
        previous = self.needed.get("previous")
        start = previous.training_iteration if previous else 0
        if previous:
            logger.info("Training of %s continues at iteration %d, to %d", self.model, start, self.training_iteration)
        with recorded(self, self.work_dir) as record:
            with publishing.publish_sealed(self.directory) as aside:
                calls.run(
                    train_segment,
                    aside,
                    self.recipe,
                    self.needed["dataset"].directory,
                    total_iterations=self.schedule_end,
                    start=start,
                    previous=previous and previous.directory,
                    threads=self.threads,
                    report=reporter(self),
                    cluster=chosen_cluster(),
                )
            record.update(iterations=self.training_iteration - start, instruction_set=INSTRUCTION_SET)


class ExportVersion(CompletedTask, ExportParameters):
    """One version of the tree: exported aside, loaded again, measured, and published whole or not at all."""

    version = VersionParameter(description="the version's number, 1 to 2^63 - 1")

    @property
    def priority(self) -> float:
        """The first version asked for is finished first; what a version requires inherits its priority."""
        return 1 / self.version

    def output(self) -> WantedVersion:
        """The version itself; it exists if it is there and is the one asked for."""
        return WantedVersion(Path(self.base_path), self.version, self.recipe)

    def requires(self) -> dict[str, luigi.Task]:
        try:
            self.find_baseline()
        except PipelineError:
            return {}  # nothing is trained for a version that cannot be published; run() says why
        calls.start(chosen_cluster())  # TensorFlow is imported while Luigi schedules, downloads and decodes
        return {"dataset": self.needed_dataset, "training": self.needed_training}

    def find_baseline(self) -> Baseline | None:
        """The version in service; raises VersionConflict or InvalidServingConfig where this one cannot be published."""
        self.output().check_publishable()
        return find_baseline(
            Path(self.base_path),
            self.version,
            Path(self.config_path),
            max_regression=self.max_regression,
            allow_signature_change=self.allow_signature_change,
        )

    @cached_property
    def needed_dataset(self) -> PrepareDataset:
        """What the version is measured on."""
        return self.clone(PrepareDataset)

    @cached_property
    def needed_training(self) -> TrainModel:
        """The last segment of its training."""
        return self.clone(TrainModel)

    def run(self) -> None:
        wanted, baseline = self.output(), self.find_baseline()
        trained, arrays = self.needed_training.directory, self.needed_dataset.directory
        reporter(self)(0.1, "writing and measuring the SavedModel")
        with recorded(self, self.work_dir) as record:
            try:
                with publishing.publish_directory(wanted.path) as aside:
                    manifest, compared = calls.run(
                        export_version,
                        aside,
                        wanted,
                        trained,
                        arrays,
                        baseline,
                        threads=self.threads,
                        cluster=chosen_cluster(),
                    )
            except FileExistsError:
                wanted.check_publishable()
                logger.info("Version %d was published by another process meanwhile, with the same recipe", self.version)
                return
            record.update(accuracies=manifest.accuracies, comparison=compared)
        logger.info("Published %s", manifest.summary())


class ExportAllVersions(ReportedTask, ExportParameters, luigi.WrapperTask):
    """A set of versions: ExportVersion for each. Recipe keys given here hold for all of them."""

    versions = VersionsParameter(default=(), description="such as 1,2,3 or 1-10 or 1-3,7")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.versions:
            raise InvalidParameter(f"versions: none given; allowed are {numbers.ALLOWED}")
        # made here, so that a recipe with a fault is told before anything runs; keys not given are each version's own
        self.exports = [self.clone(ExportVersion, version=version) for version in self.versions]

    def complete(self) -> bool:
        return all(export.complete() for export in self.exports)

    def requires(self) -> list[luigi.Task]:
        if len(self.versions) <= PART:
            return self.exports
        starts = range(0, len(self.versions), PART)
        return [self.clone(ExportPart, versions=self.versions[start : start + PART]) for start in starts]


class ExportPart(ExportAllVersions):
    """Some versions of a large set: Luigi gets to know them when their turn comes.

    For each task that it starts, its scheduler looks at all that are not done; so none of them waits before it must. A
    part comes after all versions that are known, be they made or failed, and before the parts behind it.
    """

    @property
    def priority(self) -> float:
        return 1 / (2 * numbers.LARGEST_VERSION * self.versions[0])

    def deps(self) -> list[luigi.Task]:
        """What Luigi schedules before this runs; what it requires is told by `run`."""
        return []

    def run(self) -> Iterator[list[luigi.Task]]:
        yield self.exports
