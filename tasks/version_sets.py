"""Sets of versions: one task that asks for all of them, and their parts where they are many."""

from collections.abc import Iterator
from typing import Any

import luigi

from tasks.errors import InvalidParameter
from tasks.pipeline import ExportVersion
from tasks.versions import numbers
from tasks.wiring.base_tasks import ExportParameters, RecipeTask
from tasks.wiring.parameters import VersionsParameter
from tasks.wiring.progress import Reporter, counted

PART = 100  # versions; a set of more is handed to Luigi in parts of so many


class ExportAllVersions(RecipeTask, ExportParameters, luigi.WrapperTask):
    """A set of versions: ExportVersion for each. Recipe keys given here hold for all of them."""

    shown = ("versions",)
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

    def run(self) -> None:
        Reporter(self).finish(counted(len(self.exports), "version"))


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

    def run(self) -> Iterator[list[luigi.Task]]:  # type: ignore[override] # Luigi takes either
        yield self.exports
