"""The chain from the archives to the version tree, in the order in which it runs.

DownloadDataset fetches and verifies the four archives; PrepareDataset decodes them into arrays that processes
share. TrainModel trains one segment and continues from the one before it, so that versions that differ only in
`training_iteration` share their training. ExportVersion writes the SavedModel aside, loads it again, measures
what it loaded, applies the gate and publishes the version. `tasks.version_sets` asks for a set of them.
"""

import logging
from functools import cached_property
from pathlib import Path

import luigi

from tasks.data.dataset import LEAST_RATE, find_dataset
from tasks.errors import PipelineError
from tasks.execution import calls
from tasks.execution.computations import export_version, train_segment
from tasks.execution.curves import read_curve
from tasks.execution.lineage import dataset_folder, lineage, schedule_end
from tasks.model.tensorflow_setup import INSTRUCTION_SET
from tasks.recipes.checks import whole_number
from tasks.recipes.recipe import MOST_ITERATIONS, ActsOn
from tasks.serving.baseline import find_baseline
from tasks.storage import checksums, publishing
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
from tasks.wiring.parameters import (
    CheckedParameter,
    FolderParameter,
    ListOfStringsParameter,
    VersionParameter,
)
from tasks.wiring.progress import Reporter, megabytes
from tasks.wiring.records import recorded
from tasks.wiring.sharing import SharedVersion

logger = logging.getLogger(__name__)


class DownloadDataset(CompletedTask, DataParameters):
    """The four archives of a dataset, fetched from the first mirror that gives the right bytes."""

    shown = ("dataset",)
    archive_dir = FolderParameter(default="", description="where the archives lie; default: <work_dir>/archives/<name>")
    mirrors = ListOfStringsParameter(default=(), significant=False, description="folders: http(s)://, file:// or paths")
    least_rate = CheckedParameter(
        whole_number(0, 10**9), LEAST_RATE, "bytes a second; slower mirrors are given up", significant=False
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

        dataset, report = find_dataset(self.dataset), Reporter(self, "fetching 4 files")
        with recorded(self, self.work_dir):
            if dataset.is_embedded:
                digits.write_archives(dataset, self.directory)
            else:
                mirrors, rate = self.mirrors or dataset.mirrors, int(self.least_rate)
                download.fetch_archives(dataset, mirrors, self.directory, report=report, least_rate=rate)
        told = f"{len(dataset.archives)} files, {megabytes(dataset.size)}"
        logger.info("Archives of %s: %s", dataset.name, told)
        report.finish(told)


class PrepareDataset(CompletedTask, DataParameters):
    """The archives decoded and split into arrays that any number of trainings map into memory."""

    shown = ("dataset",)

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
        publishing.sweep(self.requires().directory)  # what a download left that was killed after its last file
        calls.warm_up(chosen_cluster(), luigi.interface.core().workers)
        report = Reporter(self, "decoding the archives")
        with recorded(self, self.work_dir), publishing.publish_sealed(self.directory) as aside:
            counts = arrays.write_arrays(find_dataset(self.dataset), self.requires().directory, aside)
        told = f"images: {', '.join(f'{count} {split}' for split, count in counts.items())}"
        logger.info("Arrays of %s: %s", self.dataset, told)
        report.finish(told)


@with_keys_that_decide(ActsOn.CHECKPOINTS)
class TrainModel(CompletedTask, TrainingParameters):
    """One segment of a training: the state after `training_iteration` iterations.

    It continues from the segment before it, so a training that was killed, one that is extended and two versions
    that share a recipe all find what is already there; the bits are the same as without a stop.
    """

    shown = ("model", "training_iteration")
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
        """After how many iterations the schedule ends; 0 for one that does not."""
        return schedule_end(self.learning_rate_schedule, self.training_iteration, self.total_iterations)

    @property
    def directory(self) -> Path:
        """Where the segment lies."""
        return Path(self.work_dir, "training", lineage(self.recipe, self.schedule_end), str(self.training_iteration))

    def output(self) -> luigi.LocalTarget:
        return luigi.LocalTarget(self.directory)

    def complete(self) -> bool:
        return checksums.is_intact(self.directory)

    def run(self) -> None:
        if self.directory.exists():
            logger.warning("%s is damaged; this segment is trained again", self.directory)
        self.warn_of_threads()
        previous = self.requires().get("previous")
        start, stop = previous.training_iteration if previous else 0, self.training_iteration
        report = Reporter(self, f"iteration {start} of {stop}", start / stop)
        with recorded(self, self.work_dir) as record:
            with publishing.publish_sealed(self.directory) as aside:
                loss = calls.run(
                    train_segment,
                    aside,
                    self.recipe,
                    self.clone(PrepareDataset).directory,
                    total_iterations=self.schedule_end,
                    start=start,
                    previous=previous and previous.directory,
                    threads=self.threads,
                    report=report,
                    cluster=chosen_cluster(),
                )
            record.update(path=str(self.directory), iterations=stop - start, instruction_set=INSTRUCTION_SET)
        logger.info("Trained %s: iteration %d to %d, loss %.3g", self.model, start + 1, stop, loss)


class ExportVersion(SharedVersion, CompletedTask, ExportParameters):
    """One version of the tree: exported aside, loaded again, measured, and published whole or not at all."""

    shown = ("version", "model", "training_iteration")
    version = VersionParameter(description="the version's number, 1 to 2^63 - 1")

    def output(self) -> WantedVersion:
        """The version itself; it exists if it is there and is the one asked for."""
        return WantedVersion(Path(self.base_path), self.version, self.recipe)

    def requires(self) -> dict[str, luigi.Task]:
        try:
            self.find_baseline()
        except PipelineError:
            return {}  # nothing is trained for a version that cannot be published; run() says why
        calls.start(chosen_cluster())  # TensorFlow is imported while Luigi schedules, downloads and decodes
        # with a bucket, another host may make the version meanwhile: run() looks there before it trains
        return {} if self.bucket else {"dataset": self.clone(PrepareDataset), "training": self.needed_training}

    def find_baseline(self) -> Baseline | None:
        """The version in service; raises VersionConflict or InvalidServingConfig where this one cannot be published."""
        self.output().check_publishable()
        return find_baseline(
            Path(self.base_path),
            self.version,
            Path(self.config_path),
            max_regression=self.max_regression,
            max_regression_p=self.max_regression_p,
            allow_signature_change=self.allow_signature_change,
        )

    @cached_property
    def needed_training(self) -> TrainModel:
        """The last segment of its training."""
        return self.clone(TrainModel)

    def run(self) -> None:
        wanted, baseline = self.output(), self.find_baseline()
        trained, arrays = self.needed_training.directory, self.clone(PrepareDataset).directory
        with recorded(self, self.work_dir) as record:
            cluster = chosen_cluster()
            made = self.publish(
                wanted,
                self.needed_training,
                lambda aside: calls.run(
                    export_version, aside, wanted, trained, arrays, baseline, threads=self.threads, cluster=cluster
                ),
            )
            if made is None:
                return
            manifest, compared = made
            record.update(path=str(wanted.path), accuracies=manifest.accuracies, comparison=compared)
            curve = read_curve(trained)  # not from the records, which are long after thousands of versions
            record.update(training_seconds=round(curve.seconds, 3) if curve else 0.0)
        told = f"{manifest.measured}, {megabytes(manifest.size)}"
        logger.info("Version %d: published, %s", self.version, told)
        Reporter(self).finish(told)
