"""Run a chain of tasks without the scheduler: what one host does for a version that several hosts share."""

from pathlib import Path
from typing import Any

from luigi.task import flatten

from tasks.storage import locks, publishing


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
    with locks.exclusive(folder / task.task_id):
        if not task.complete():
            task.set_progress_percentage = shown_by.set_progress_percentage
            task.set_status_message = shown_by.set_status_message
            task.run()
