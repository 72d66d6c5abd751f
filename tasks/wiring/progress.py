"""How a task shows on the scheduler's page, and on a terminal, how far it is."""

import contextlib
import time
from collections.abc import Callable, Iterator

import luigi
from luigi.rpc import RPCError

from tasks.wiring.failures import luigi_logger

SECONDS = 0.5  # between two reports


def reporter(task: luigi.Task) -> Callable[[float, str], None]:
    """A function of a fraction (0 to 1) and a line of text that shows both on the scheduler's page.

    It does nothing outside a worker, calls the scheduler at most twice a second, and gives up for good when the
    scheduler does not answer: a training must not fail because nobody watches it.
    """
    last, gone = 0.0, False

    def report(fraction: float, message: str) -> None:
        nonlocal last, gone
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


@contextlib.contextmanager
def transfer(task: luigi.Task, what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A function that is told of bytes that have arrived, of `total`, and shows them on the page and as a bar."""
    from tqdm import tqdm

    report = reporter(task)
    arrived = 0
    with tqdm(total=total, desc=what, unit="B", unit_scale=True, ncols=79, disable=None) as bar:

        def moved(count: int) -> None:
            nonlocal arrived
            arrived += count
            bar.update(count)
            report(min(1.0, arrived / max(total, 1)), f"{what}: {arrived:,} of {total:,} bytes")

        yield moved
