"""The ties to Luigi's workers: its defaults, TensorFlow before the fork, progress, and how failures are told.

Nothing here knows what the tasks do.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator

import luigi
import luigi.interface
from luigi.configuration import get_config
from luigi.parameter import ParameterException
from luigi.rpc import RPCError

from tasks.exceptions import PipelineError

luigi_logger = logging.getLogger("luigi-interface")

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
PROGRESS_SECONDS = 0.5


def set_up() -> None:
    """Give Luigi this package's defaults where nobody has set them, and its log one line for what is ours to tell."""
    config = get_config()
    for section, settings in DEFAULTS.items():
        for name, value in settings.items():
            if not config.has_option(section, name):
                config.set(section, name, value)
    # Luigi reads these three by another way than its parameters, and then warns that nobody reads them
    luigi.interface.core.ignore_unconsumed |= {name for name in DEFAULTS["core"] if name.startswith("rpc_")}
    luigi_logger.addFilter(_tell_plainly)
    package_logger = logging.getLogger("tasks")
    package_logger.setLevel(logging.DEBUG)
    package_logger.addHandler(_ToLuigi())
    package_logger.propagate = False
    atexit.register(_FAILURES.tell)


class ReportedTask(luigi.Task):
    """A task whose failure is told again in one line when the run ends, below Luigi's summary."""

    def on_failure(self, exception: BaseException) -> str:
        """What the scheduler's page shows."""
        told = told_plainly(exception)
        line = told or f"{type(exception).__name__}: {exception}"
        _FAILURES.add(f"{self.task_family}: {line}")
        return told or "".join(traceback.format_exception(exception))


@ReportedTask.event_handler(luigi.Event.BROKEN_TASK)
def _tell_of_a_broken_task(task: luigi.Task, exception: BaseException) -> None:
    """One that cannot even say what it requires is told of as one that fails (of an RPCError Luigi tells last)."""
    if not isinstance(exception, RPCError):
        task.on_failure(exception)


def reporter(task: luigi.Task) -> Callable[[float, str], None]:
    """A function of a fraction (0 to 1) and a line of text that shows both on the scheduler's page.

    It does nothing outside a worker, calls the scheduler at most twice a second, and gives up for good when the
    scheduler does not answer: a training must not fail because nobody watches it.
    """
    last = 0.0
    gone = False

    def report(fraction: float, message: str) -> None:
        nonlocal last, gone
        now = time.monotonic()
        if gone or (now - last < PROGRESS_SECONDS and fraction < 1) or task.set_progress_percentage is None:
            return
        last = now
        try:
            task.set_progress_percentage(round(100 * fraction, 1))
            task.set_status_message(message)
        except RPCError:
            gone = True
            luigi_logger.warning("The scheduler does not answer; %s goes on without showing its progress", task)

    return report


def import_tensorflow() -> None:
    """Import TensorFlow if this process has not, faster and quieter than it does by itself; run no op.

    Called in the parent before the workers fork, so that their children need not import it. Left out of the
    import: garbage collection (0.4 s here, and 0.8 s at exit if what was imported is not frozen), Keras (0.3 s, and
    0.6 s more where scikit-learn is installed, which it imports; `tf.keras` still works, as it loads when it is first
    used), and the lines that TensorFlow writes to stderr whatever TF_CPP_MIN_LOG_LEVEL says. GPUs are hidden:
    they do not give the same bits as a CPU.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    with _no_garbage_collection(), _absent("keras"), _stderr_closed():
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")


def prepare_tensorflow(threads: int) -> None:
    """Import TensorFlow, and fix the settings that shape the bits.

    Raises:
        InvalidParameter: this process runs with another number of threads already.
    """
    import_tensorflow()
    from tasks.model.tensorflow_settings import fix_settings

    fix_settings(threads)


@contextlib.contextmanager
def finished_first() -> Iterator[None]:
    """Let a forked worker finish the block before it heeds SIGTERM.

    Luigi sends that to its workers when it loses its scheduler, and waits for them before it ends. A process that
    nobody forked heeds it at once.
    """
    if os.getpid() == _FAILURES.parent:
        yield
        return
    heeded = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, heeded)


def told_plainly(exception: BaseException | None) -> str | None:
    """The one line that tells a user what an exception means, or None if only its traceback does."""
    while exception is not None:
        if isinstance(exception, PipelineError | ParameterException):
            return str(exception)
        if isinstance(exception, RPCError):
            return (
                f"No Luigi scheduler answers ({exception}). Start one with `luigid --address 127.0.0.1`, "
                "or run without: add --local-scheduler"
            )
        exception = exception.__cause__
    return None


def _tell_plainly(record: logging.LogRecord) -> bool:
    """Replace Luigi's traceback by the line that told_plainly gives, where it gives one."""
    exception = record.exc_info[1] if record.exc_info else None
    if exception is None or type(exception).__module__.startswith("requests."):  # logged before each retry
        record.exc_info = None
    told = told_plainly(exception)
    if told is not None:
        record.msg, record.args, record.exc_info = "%s: %s", (record.getMessage(), told), None
    return True


class _ToLuigi(logging.Handler):
    """Hands the package's log records to Luigi's logger, so that one level and one format hold for both."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass the record on if Luigi's level lets it through."""
        if luigi_logger.isEnabledFor(record.levelno):
            luigi_logger.handle(record)


class _Failures:
    """The lines that failed tasks leave for the end of the run, from forked workers too."""

    def __init__(self) -> None:
        self.parent = os.getpid()
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.writing, False)
        os.set_blocking(self.reading, False)

    def add(self, line: str) -> None:
        """Leave a line; one that finds the pipe full is dropped (Luigi's log has it)."""
        with contextlib.suppress(BlockingIOError):
            os.write(self.writing, " ".join(line.split()).encode()[:4000] + b"\n")

    def take(self) -> list[str]:
        """The lines left so far, each once."""
        content = b""
        with contextlib.suppress(BlockingIOError):
            while block := os.read(self.reading, 1 << 16):
                content += block
        return list(dict.fromkeys(content.decode(errors="replace").splitlines()))

    def tell(self) -> None:
        """Write the lines to stderr; in the process that started the run alone."""
        if os.getpid() == self.parent:
            for line in self.take():
                print(f"ERROR: {line}", file=sys.stderr)  # noqa: T201 - below Luigi's summary, which ends its log


_FAILURES = _Failures()


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def _absent(module: str) -> Iterator[None]:
    """Make `import module` fail in the block, unless it is imported already."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]  # what the import system documents for this
    try:
        yield
    finally:
        del sys.modules[module]


@contextlib.contextmanager
def _stderr_closed() -> Iterator[None]:
    """Send what is written to file descriptor 2 in the block, from C++ too, to nowhere."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
