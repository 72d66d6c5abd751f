"""The chain from the archives to the version tree, in the order in which it runs.

DownloadDataset fetches and verifies the four archives; PrepareDataset decodes them into arrays that processes
share. TrainModel trains one segment and continues from the one before it, so that versions that differ only in
`training_iteration` share their training. ExportVersion writes the SavedModel aside, loads it again, measures
what it loaded, applies the gate and publishes the version; ExportAllVersions asks for a set of them.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import luigi

from tasks.data.dataset import find_dataset
from tasks.errors import InvalidParameter, PipelineError
from tasks.model.architectures import find_architecture
from tasks.model.tensorflow_setup import import_tensorflow, prepare_tensorflow
from tasks.storage import checksums, publishing
from tasks.versions import compatibility as gates
from tasks.versions.wanted_version import WantedVersion
from tasks.wiring import recipe_lookup as recipes
from tasks.wiring import records as provenance
from tasks.wiring.base_tasks import ExportTask, RecipeTask, TrainingTask
from tasks.wiring.failures import reporter
from tasks.wiring.luigi_defaults import finished_first
from tasks.wiring.parameters import ALLOWED as VERSIONS_ALLOWED
from tasks.wiring.parameters import (
    FolderParameter,
    ListOfStringsParameter,
    RecipeParameter,
    VersionParameter,
    VersionsParameter,
)

logger = logging.getLogger(__name__)


class DownloadDataset(RecipeTask):
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
        from tasks.data import digits
        from tasks.data import download as archives

        dataset = find_dataset(self.dataset)
        with provenance.recorded(self, self.work_dir):
            if dataset.is_embedded:
                for name, content in digits.make_archives(dataset).items():
                    publishing.publish_file(self.directory / name, content)
                return
            archives.fetch_archives(dataset, self.mirrors or dataset.mirrors, self.directory, report=reporter(self))


class PrepareDataset(RecipeTask):
    """The archives decoded and split into arrays that any number of trainings map into memory."""

    def requires(self) -> luigi.Task:
        return self.clone(DownloadDataset)

    @property
    def directory(self) -> Path:
        """Where the arrays lie."""
        identity = provenance.dataset_identity(find_dataset(self.dataset))
        return Path(self.work_dir, "datasets", f"{self.dataset}-{provenance.digest(identity)}")

    def output(self) -> luigi.LocalTarget:
        return luigi.LocalTarget(self.directory)

    def complete(self) -> bool:
        return checksums.is_intact(self.directory, remember=True)

    def run(self) -> None:
        from tasks.data import arrays

        if self.directory.exists():
            logger.warning("%s is damaged; the archives are decoded again", self.directory)
        reporter(self)(0.0, "decoding the archives")
        with provenance.recorded(self, self.work_dir), publishing.publish_sealed(self.directory) as aside:
            arrays.write_arrays(find_dataset(self.dataset), self.requires().directory, aside)


class TrainModel(TrainingTask):
    """One segment of a training: the state after `training_iteration` iterations.

    It continues from the segment before it, so a training that was killed, one that is extended and two versions
    that share a recipe all find what is already there; the bits are the same as without a stop.
    """

    total_iterations = RecipeParameter("iterations after which the schedule ends; 0 where it never does")
    segment = RecipeParameter("iterations between two checkpoints; changes no bit", significant=False)

    def requires(self) -> dict[str, luigi.Task]:
        dataset = {"dataset": self.clone(PrepareDataset)}
        previous = (self.training_iteration - 1) // self.segment * self.segment
        return {**dataset, "previous": self.clone(training_iteration=previous)} if previous else dataset

    @property
    def plan(self) -> dict[str, Any]:
        """What `tasks.model.training.TrainingPlan` needs, and what addresses the training."""
        keys = ("model", "optimizer", "batch_size", "learning_rate", "schedule", "seed", "total_iterations")
        return {key: getattr(self, key) for key in keys}

    @property
    def directory(self) -> Path:
        """Where the segment lies."""
        lineage = provenance.lineage(self.plan, find_dataset(self.dataset), self.threads)
        return Path(self.work_dir, "training", lineage, str(self.training_iteration))

    def output(self) -> luigi.LocalTarget:
        return luigi.LocalTarget(self.directory)

    def complete(self) -> bool:
        return checksums.is_intact(self.directory)

    def run(self) -> None:
        prepare_tensorflow(self.threads)
        from tasks.data import arrays
        from tasks.model import checkpoints, training

        if self.directory.exists():
            logger.warning("%s is damaged; this segment is trained again", self.directory)
        needed, stop = self.requires(), self.training_iteration
        images = arrays.map_arrays(needed["dataset"].directory).training
        start, state = 0, None
        if "previous" in needed:
            start, state = needed["previous"].training_iteration, checkpoints.load_state(needed["previous"].directory)
            logger.info("Training of %s continues at iteration %d, to %d", self.model, start, stop)
        report = reporter(self)

        def show(done: int, loss: float) -> None:
            report((done - start) / (stop - start), f"iteration {done} of {stop}, loss {loss:.4f}")

        with finished_first(), provenance.recorded(self, self.work_dir) as record:
            state = training.train(
                training.TrainingPlan(**self.plan),
                images.images,
                images.labels,
                start=start,
                stop=stop,
                state=state,
                report=show,
            )
            with publishing.publish_sealed(self.directory) as aside:
                checkpoints.save_state(aside, state)
            record["iterations"] = stop - start


class ExportVersion(ExportTask):
    """One version of the tree: exported aside, loaded again, measured, and published whole or not at all."""

    version = VersionParameter(description="the version's number, 1 to 2^63 - 1")

    @property
    def recipe(self) -> recipes.Recipe:
        """The completed recipe."""
        return recipes.Recipe(**{key: getattr(self, key) for key in recipes.KEYS})

    def output(self) -> WantedVersion:
        """The version itself; it exists if it is there and is the one asked for."""
        return WantedVersion(
            base_path=Path(self.base_path),
            version=self.version,
            recipe=self.recipe.shaping(),
            threads=self.threads,
            warmup_records=self.warmup_records,
            min_accuracy=self.min_accuracy,
        )

    def requires(self) -> dict[str, luigi.Task]:
        try:
            self.find_baseline()
        except PipelineError:
            return {}  # nothing is trained for a version that cannot be published; run() says why
        return {"dataset": self.needed_dataset, "training": self.needed_training}

    def find_baseline(self) -> gates.Baseline | None:
        """The version in service; raises VersionConflict or InvalidServingConfig where this one cannot be published."""
        self.output().refuse_obstacles()
        return gates.find_baseline(
            Path(self.base_path),
            self.version,
            Path(self.config_path),
            max_regression=self.max_regression,
            allow_signature_change=self.allow_signature_change,
        )

    @property
    def needed_dataset(self) -> PrepareDataset:
        """What the version is measured on."""
        return self.clone(PrepareDataset)

    @property
    def needed_training(self) -> TrainModel:
        """The last segment of its training."""
        return self.clone(TrainModel)

    def run(self) -> None:
        wanted, baseline = self.output(), self.find_baseline()
        prepare_tensorflow(self.threads)
        from tasks.data import arrays
        from tasks.model import checkpoints
        from tasks.savedmodel import export
        from tasks.savedmodel.comparison import compare_with_baseline

        weights = checkpoints.load_state(self.needed_training.directory)
        splits = arrays.map_arrays(self.needed_dataset.directory)
        reporter(self)(0.1, "writing and measuring the SavedModel")
        with provenance.recorded(self, self.work_dir) as record:
            try:
                with publishing.publish_directory(wanted.path) as aside:
                    manifest = export.export_version(
                        aside,
                        wanted,
                        scores=find_architecture(self.model).scores,
                        weights=weights,
                        measured_on={"validation": splits.validation, "test": splits.test},
                        dataset_checksums=find_dataset(self.dataset).checksums,
                        made_with=provenance.made_with(),
                    )
                    comparison = compare_with_baseline(baseline, manifest, splits.validation)
            except FileExistsError:
                wanted.refuse_obstacles()
                logger.info("Version %d was published by another process meanwhile, with the same recipe", self.version)
                return
            record.update(accuracies=manifest.accuracies, comparison=comparison)
        logger.info("Published %s", manifest.summary())


class ExportAllVersions(ExportTask, luigi.WrapperTask):
    """A set of versions: ExportVersion for each. Recipe keys given here hold for all of them."""

    versions = VersionsParameter(default=(), description="such as 1,2,3 or 1-10 or 1-3,7")

    @classmethod
    def get_param_values(cls, params: Any, args: Any, kwargs: Any) -> list[tuple[str, Any]]:
        """Leave keys that were not given to each version's own recipe, but check all of them before anything runs."""
        values = super(RecipeTask, cls).get_param_values(params, args, kwargs)
        given = dict(values)
        if not given["versions"]:
            raise InvalidParameter(f"versions: none given; allowed are {VERSIONS_ALLOWED}")
        for version in given["versions"]:
            recipes.complete(given, version)
        return values

    def requires(self) -> list[luigi.Task]:
        return [self.clone(ExportVersion, version=version) for version in self.versions]


@ExportVersion.event_handler(luigi.Event.DEPENDENCY_DISCOVERED)
def _import_before_the_fork(*_: luigi.Task) -> None:
    """Something will be trained or exported: import TensorFlow in the parent, so that no forked worker has to."""
    import_tensorflow()
