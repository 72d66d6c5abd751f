"""The ties to Luigi's workers: its defaults, TensorFlow before the fork, and a scheduler that goes away.

Nothing here knows what the tasks do.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Iterator

import luigi
import luigi.interface
from luigi.configuration import get_config

from tasks.wiring import failures as reporting
from tasks.wiring.failures import FAILURES

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


def set_up() -> None:
    """Give Luigi this package's defaults where nobody has set them, and see to what a run tells."""
    config = get_config()
    for section, settings in DEFAULTS.items():
        for name, value in settings.items():
            if not config.has_option(section, name):
                config.set(section, name, value)
    # Luigi reads these three by another way than its parameters, and then warns that nobody reads them
    luigi.interface.core.ignore_unconsumed |= {name for name in DEFAULTS["core"] if name.startswith("rpc_")}
    reporting.set_up()


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
    from tasks.model.tensorflow_setup import fix_settings

    fix_settings(threads)


@contextlib.contextmanager
def finished_first() -> Iterator[None]:
    """Let a forked worker finish the block before it heeds SIGTERM.

    Luigi sends that to its workers when it loses its scheduler, and waits for them before it ends. A process that
    nobody forked heeds it at once.
    """
    if os.getpid() == FAILURES.parent:
        yield
        return
    heeded = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, heeded)


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
