"""How a task shows on the scheduler's page how far it is."""

import time
from collections.abc import Callable

import luigi
from luigi.rpc import RPCError

from tasks.wiring.failures import luigi_logger
from tasks.wiring.terminal import show_bar

SECONDS = 0.5  # between two reports


def reporter(task: luigi.Task) -> Callable[[float, str], None]:
    """A function of a fraction (0 to 1) and a line of text that shows both on the terminal and the scheduler's page.

    It does nothing else outside a worker, calls the scheduler at most twice a second, and gives up for good when the
    scheduler does not answer: a training must not fail because nobody watches it.
    """
    began, last, gone = time.monotonic(), 0.0, False

    def report(fraction: float, message: str) -> None:
        nonlocal last, gone
        show_bar(began, task.task_family, fraction, message)
        now = time.monotonic()
        if gone or (now - last < SECONDS and fraction < 1) or task.set_progress_percentage is None:
            return
        last = now
        try:
            task.set_progress_percentage(round(100 * fraction, 1))
            task.set_status_message(message)
        except RPCError:
            gone = True
            luigi_logger.warning("The scheduler does not answer; %s goes on without showing its progress", task)

    return report
