"""How a run tells what failed: in its last lines, one for each failure, and without a traceback where a line says it.

Luigi logs a traceback for every error and ends with a summary that names no reason. Its scheduler keeps the reason of
each failed task, wherever that ran; `tasks.wiring.terminal` tells them when the run is over.
"""

import configparser
import json
import logging
import re
import textwrap
import traceback
from collections.abc import Collection, Mapping
from typing import Any

import luigi
from luigi.parameter import ParameterException
from luigi.rpc import RPCError

from tasks.errors import PipelineError
from tasks.wiring.rows import TaskWithRow

WIDTH = 70  # columns that the box of an error has on the scheduler's page, which wraps no line
UNFULFILLED = re.compile(  # Luigi's words: before a task, and after one that only asks for others
    r"Unfulfilled dependenc(?:y|ies) at run time: (.*)"
    r"|Task finished running, but complete\(\) is still returning false\.",
    re.DOTALL,
)
UNKNOWN = "see Luigi's log above"

luigi_logger = logging.getLogger("luigi-interface")


class ReportedTask(TaskWithRow):
    """A task whose failure is told again in one line when the run ends, below everything else."""

    broken = ""  # why it cannot be scheduled; the scheduler does not keep that

    def on_failure(self, exception: BaseException) -> str:
        """What the scheduler keeps and its page shows: the reason, then the traceback of what has no plain one."""
        told = told_plainly(exception)
        reason = told or f"{type(exception).__name__}: {exception}"
        wrapped = textwrap.fill(" ".join(reason.split()), WIDTH, break_long_words=False, break_on_hyphens=False)
        return wrapped if told else "\n\n".join((wrapped, "".join(traceback.format_exception(exception))))


@ReportedTask.event_handler(luigi.Event.BROKEN_TASK)
def _remember(task: ReportedTask, exception: BaseException) -> None:
    task.broken = _first_paragraph(task.on_failure(exception))


def told_plainly(exception: BaseException | None) -> str | None:
    """The one line that tells a user what an exception means, or None if only its traceback does."""
    while exception is not None:
        if isinstance(exception, PipelineError | ParameterException):
            return printable(str(exception))
        if isinstance(exception, RPCError):
            return (
                f"No Luigi scheduler answers ({exception}). Start one with `luigid --address 127.0.0.1`, "
                "or run without: add --local-scheduler"
            )
        if isinstance(exception, configparser.InterpolationError):
            where = f"luigi.cfg [{exception.section}] {exception.option}"
            return f"{where}: {' '.join(exception.message.split())}; a % that stands for itself is written %%"
        if isinstance(exception, UnicodeEncodeError):
            return f"{exception.object[:200]!r}: allowed is text that can be written in UTF-8"
        if gone := UNFULFILLED.fullmatch(str(exception)):
            paths = re.findall(r"\((.+?)\)", gone[1] or "") or [gone[1] or "not all of it is there"]
            return f"what it needs was there and is gone: {', '.join(paths)}; was it retired or removed meanwhile?"
        exception = exception.__cause__
    return None


def printable(text: str) -> str:
    """A text with names in it that may come from anywhere, without what a terminal would obey."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else repr(letter)[1:-1] for letter in text)


def tell_plainly(record: logging.LogRecord) -> bool:
    """Replace the traceback of a record of Luigi's by the line that told_plainly gives, where it gives one.

    A task that failed is an event of the story then; at the end of the run it is told as an error.
    """
    exception = record.exc_info[1] if record.exc_info else None
    before_retry = type(exception).__module__.startswith("requests.") or isinstance(exception, KeyboardInterrupt)
    if exception is None or before_retry:  # which is logged with whatever exception is around
        record.exc_info = None
    told = told_plainly(exception)
    if told is not None:
        task = record.args[-1] if isinstance(record.args, tuple) and record.args else None
        record.msg, record.args, record.exc_info = "%s", (told,), None
        if isinstance(task, ReportedTask):
            record.msg, record.args = "%s failed: %s", (task.task_family, told)
            record.levelno, record.levelname = logging.INFO, "INFO"
    return True


def reasons(worker: Any, tasks: Mapping[str, Collection[luigi.Task]]) -> list[str]:
    """Why not everything is done that a worker was asked for: lines in the order of the failures, each once.

    `tasks` are Luigi's groups: what became of a task -> the tasks.
    """
    failed = {*tasks["failed"], *tasks["scheduling_error"]}
    lines = []
    for task, *_ in worker._add_task_history:  # noqa: SLF001 - as Luigi's summary does
        if task in failed and isinstance(task, ReportedTask):
            kept = worker._scheduler.fetch_error(task.task_id)["error"]  # noqa: SLF001 - the local one or luigid, alike
            reason = task.broken or _first_paragraph(str(json.loads(kept or '""')))
            lines.append(f"{task.task_family}: {reason or UNKNOWN}")
    given_up = worker._scheduler.task_list("DISABLED", "") if tasks["not_run"] else {}  # noqa: SLF001
    waiting = [task for task in tasks["not_run"] if task.task_id in given_up]
    lines += [
        f"{task.task_family}: has failed so often that the scheduler does not offer it for a while; "
        "Re-enable on its page ends that"
        for task in waiting
    ]
    if tasks["not_run"] and worker._scheduler.is_paused()["paused"]:  # noqa: SLF001
        lines.append("the scheduler is paused: resume it on its page, and run again")
    elif tasks["not_run"] and not {one.task_id for one in tasks["not_run"]} <= set(_known_to(worker)):
        lines.append(
            "the scheduler was started again during the run, and does not know the rest of its tasks; run again: what "
            "was finished is kept"
        )
    elif tasks["run_by_other_worker"] or (tasks["not_run"] and not waiting):
        lines.append(
            "another worker has some of the tasks, or had them seconds ago; what it makes is there when it ends"
        )
    return list(dict.fromkeys(lines))


def _known_to(worker: Any) -> Collection[str]:
    """The tasks that a worker's scheduler has heard of."""
    return worker._scheduler.task_list("", "", limit=False)  # noqa: SLF001


def _first_paragraph(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())
