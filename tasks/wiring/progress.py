"""How a task shows on the scheduler's page how far it is, a transfer on a terminal, too, and at the end what came out.

Luigi's page inserts the text as HTML: it is made of fixed words and of numbers, never of paths, labels or free text.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import luigi
from luigi.rpc import RPCError

from tasks.wiring.failures import luigi_logger
from tasks.wiring.terminal import show_bar

SECONDS = 1.0  # between two reports
LONG = 180  # seconds from which minutes are told


def megabytes(size: int) -> str:
    """A number of bytes in words."""
    return f"{size / 1e6:.1f} MB"


def counted(number: int, noun: str) -> str:
    """`1 version`, `2 versions`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


class Reporter:
    """Shows a percentage and a line of text on a task's row; the last line stays when the task is done.

    It does nothing outside a worker, calls the scheduler at most once a second, and gives up for good when the
    scheduler does not answer: a training must not fail because nobody watches it.
    """

    def __init__(self, task: luigi.Task, message: str = "", fraction: float = 0.0, *, page: str | None = None) -> None:
        """Show `message` at once; `page` is the address of a page about what the task works on."""
        self._task = task
        self._began = self._last = time.monotonic()
        self._pace: tuple[float, float] | None = None  # fraction and time of the first report of what was begun
        self._percentage = 0
        self._gone = task.set_status_message is None
        if page:
            self._tell(task.set_tracking_url, page)  # before any text: it resets what the scheduler has of the task
        if message:
            self._show(fraction, message)

    def __call__(self, fraction: float, message: str) -> None:
        """Show that line, which says the same as the fraction (0 to 1), and how long the rest may take."""
        now = time.monotonic()
        show_bar(self._began, self._task.task_family, fraction, message)
        if self._pace is None:
            self._pace = (fraction, now)
        if now - self._last < SECONDS and fraction < 1:
            return
        self._last = now
        since, began = self._pace
        if since < fraction < 1:
            left = (1 - fraction) * (now - began) / (fraction - since)
            message += f", {left:.0f} s left" if left < LONG else f", {left / 60:.0f} min left"
        self._show(fraction, message)

    def finish(self, result: str) -> None:
        """Show 100 %, and what came out."""
        self._show(1.0, result)

    def _show(self, fraction: float, message: str) -> None:
        percentage = max(1, round(100 * fraction))  # the page shows no 0
        if percentage != self._percentage:
            self._percentage = percentage
            self._tell(self._task.set_progress_percentage, percentage)
        self._tell(self._task.set_status_message, message)

    def _tell(self, call: Callable[[Any], None], what: str | int) -> None:
        if self._gone:
            return
        try:
            call(what)
        except RPCError:
            self._gone = True
            luigi_logger.warning("The scheduler does not answer; %s goes on without showing its progress", self._task)


@contextlib.contextmanager
def transfer(task: luigi.Task, what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A function that is told of bytes that have arrived, of `total`, and shows them on the page and as a bar."""
    report = Reporter(task, what)
    arrived = 0

    def moved(count: int) -> None:
        nonlocal arrived
        arrived += count
        report(min(1.0, arrived / max(total, 1)), f"{what}: {megabytes(arrived)} of {megabytes(total)}")

    yield moved
