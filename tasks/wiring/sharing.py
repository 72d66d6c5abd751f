"""What hosts with disks of their own do to make versions together: the bucket, and a resource of their scheduler."""

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from luigi.task import flatten

from tasks.storage import locks, publishing
from tasks.storage.disk_errors import explain_os_errors
from tasks.storage.object_store import open_store
from tasks.versions.manifest import Manifest
from tasks.versions.pull import fetch_wanted
from tasks.versions.push import push_version
from tasks.versions.wanted_version import WantedVersion
from tasks.wiring.progress import Reporter

logger = logging.getLogger(__name__)


class SharedVersion:
    """A task that makes a version, unless another host has: a task with `BucketParameters`."""

    bucket: Any
    endpoint_url: Any

    @property
    def resources(self) -> dict[str, int]:
        """The right to make this version, which the hosts' scheduler gives to one of them at a time."""
        return {f"{self.bucket}/{self.version}": 1} if self.bucket else {}  # type: ignore[attr-defined]

    def publish(
        self, wanted: WantedVersion, needed: Any, make: Callable[[Path], tuple[Manifest, dict[str, Any]]]
    ) -> tuple[Manifest, dict[str, Any]] | None:
        """Publish a version: from the bucket, or made here, and in the bucket before anyone sees it.

        Args:
            wanted: the version.
            needed: the task without which it cannot be made; with a bucket, it is run here and now, if at all.
            make: makes it in an empty folder; gives what this does.

        Returns:
            The manifest, and what is to be recorded of the comparison with the version in service; nothing of a version
            that was compared where it was made. None if another process has published it meanwhile.
        """
        try:
            with publishing.publish_directory(wanted.path) as aside:
                return self._fill(aside, wanted, needed, make)
        except FileExistsError:
            wanted.check_publishable()
            logger.info("Version %d was published by another process meanwhile, with the same recipe", wanted.version)
            Reporter(self).finish("published by another process meanwhile")
            return None

    def _fill(
        self, aside: Path, wanted: WantedVersion, needed: Any, make: Callable[[Path], tuple[Manifest, dict[str, Any]]]
    ) -> tuple[Manifest, dict[str, Any]]:
        store = self.bucket and open_store(self.bucket, self.endpoint_url)
        if store and (fetched := fetch_wanted(store, wanted, aside)):
            logger.info("Version %d is in %s already, and was not made again", wanted.version, self.bucket)
            return fetched, {}
        if store:
            run_here(needed, shown_by=self)
        Reporter(self, "writing and measuring the SavedModel")
        made = make(aside)
        if store:
            push_version(store, aside, wanted.version)
        return made


def run_here(task: Any, shown_by: Any) -> None:
    """Run what is missing of a task and of what it needs, in this process, one after the other.

    Args:
        task: a task of the chain, with a `work_dir`. Two processes that need the same one wait for each other.
        shown_by: the task that the scheduler knows, and on whose row progress is shown.
    """
    for needed in flatten(task.requires()):
        run_here(needed, shown_by)
    folder = Path(task.work_dir, "locks")
    publishing.make_directory(folder)
    with contextlib.ExitStack() as held:
        with explain_os_errors(folder / task.task_id):
            held.enter_context(locks.exclusive(folder / task.task_id))
        if not task.complete():
            task.set_progress_percentage = shown_by.set_progress_percentage
            task.set_status_message = shown_by.set_status_message
            task.run()
