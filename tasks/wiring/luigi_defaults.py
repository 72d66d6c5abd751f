"""What Luigi does unless it is told otherwise: its settings and its log."""

import gc
import logging
import time

import luigi
import luigi.interface
from luigi.configuration import get_config
from luigi.scheduler import Scheduler

from tasks.wiring import command_line, terminal
from tasks.wiring.failures import luigi_logger, printable

# What a run needs whatever folder it is started in; a luigi.cfg and the command line win over each of these.
DEFAULTS = {
    "core": {
        "log_level": "INFO",
        "no_lock": "true",  # several processes may build the same versions; Luigi's lock file would stop all but one
        "rpc_connect_timeout": "1.5",  # seconds; with Luigi's own values a missing luigid is noticed after a minute
        "rpc_retry_attempts": "3",
        "rpc_retry_wait": "1",
    },
    "worker": {"check_complete_on_run": "true"},
    # Luigi's documented values; without them a failed run exits with 0
    "retcode": {
        "already_running": "10",
        "missing_data": "20",
        "not_run": "25",
        "task_failed": "30",
        "scheduling_error": "35",
        "unhandled_exception": "40",
    },
}

PRUNE_SECONDS = 5.0


def set_up() -> None:
    """Give Luigi this package's defaults where nobody has set them, its log, and the way in which a run is told."""
    config = get_config()
    # For each task that is made, Luigi looks whether its family is among them: in a list of thousands of [recipe.N],
    # which ConfigParser makes anew each time, that takes longer than all else. This is a view of the same.
    config.sections = config._sections.keys  # noqa: SLF001 - the public one makes the list
    for section, settings in DEFAULTS.items():
        for name, value in settings.items():
            if not config.has_option(section, name):
                config.set(section, name, value)
    # Luigi reads these three by another way than its parameters, and then warns that nobody reads them
    luigi.interface.core.ignore_unconsumed |= {name for name in DEFAULTS["core"] if name.startswith("rpc_")}
    package_logger = logging.getLogger("tasks")
    package_logger.setLevel(logging.DEBUG)
    package_logger.addHandler(_ToLuigi())
    package_logger.propagate = False
    terminal.set_up()
    command_line.set_up()
    luigi.interface._WorkerSchedulerFactory.create_local_scheduler = _create_local_scheduler  # noqa: SLF001 - no setting
    # What is imported stays: without Python going through all of it again in the end, a run that finds nothing to do
    # takes a tenth less, and forked workers share its memory
    gc.freeze()


class LocalScheduler(Scheduler):
    """Luigi's own for one process, which looks through all tasks ever seen before it gives one: not so often here.

    What it looks for, tasks whose retry is due and workers that are gone, is a matter of seconds.
    """

    looked = float("-inf")

    def prune(self) -> None:
        if time.monotonic() - self.looked >= PRUNE_SECONDS:
            super().prune()
            self.looked = time.monotonic()


def _create_local_scheduler(_: object) -> Scheduler:
    return LocalScheduler(prune_on_get_work=True, record_task_history=False)


class _ToLuigi(logging.Handler):
    """Hands the package's log records to Luigi's logger, so that one level and one format hold for both."""

    def emit(self, record: logging.LogRecord) -> None:
        if luigi_logger.isEnabledFor(record.levelno):
            record.msg, record.args = printable(record.getMessage()), None  # what servers say and files are called
            luigi_logger.handle(record)
