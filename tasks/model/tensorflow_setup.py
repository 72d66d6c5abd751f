"""TensorFlow as every process here has it: imported fast and in silence, with the settings that shape the bits.

This module itself is light: it imports TensorFlow when it is asked to.
"""

import contextlib
import ctypes
import gc
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.errors import InvalidParameter, UnfitProcessor

# Whatever the user's environment says: these shape the bits, and must be the same on every machine. Matrix products go
# through oneDNN, which picks its kernels by the processor that it finds, unless it is told which to use at most.
INSTRUCTION_SET = "AVX2"
LEFT_OUT = ("keras", "scipy", "h5py")
SETTINGS = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "ONEDNN_MAX_CPU_ISA": INSTRUCTION_SET,
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_XLA_FLAGS": "",
    "XLA_FLAGS": "",
}


def check_processor(machine: str, described: str) -> None:
    """Make sure that the bits of this processor are those of all others.

    Args:
        machine: as `platform.machine` calls its kind.
        described: the content of /proc/cpuinfo.

    Raises:
        UnfitProcessor: it is no x86-64, or has no AVX2.
    """
    if machine != "x86_64" or " avx2 " not in described.replace("\n", " "):
        raise UnfitProcessor(
            f"this processor ({machine}) has no AVX2: what it computes has other bits than the versions of all others; "
            "run on an x86-64 processor with AVX2"
        )


def import_tensorflow() -> None:
    """Import TensorFlow if this process has not, faster and quieter than it does by itself; run no op.

    Left out of the import: garbage collection (0.4 s, and 0.8 s at exit if what was imported is not frozen), Keras
    (0.3 s, and 0.6 s more where scikit-learn is installed, which it imports; `tf.keras` still works, as it loads
    when it is first used), SciPy and h5py (0.1 s; TensorFlow only asks whether they are there), and the lines that
    TensorFlow writes to stderr whatever TF_CPP_MIN_LOG_LEVEL says. GPUs are hidden: they do not give the same bits
    as a CPU.

    Raises:
        UnfitProcessor: see `check_processor`.
        InvalidParameter: TensorFlow was imported by somebody else, without `SETTINGS` in the environment.
    """
    if "tensorflow" in sys.modules:
        missing = [f"{name}={value}" for name, value in SETTINGS.items() if os.environ.get(name) != value]
        if missing:
            raise InvalidParameter(
                f"TensorFlow was imported in this process without {' '.join(missing)}, which shape the bits; "
                "start Luigi in a process of its own"
            )
        return
    check_processor(platform.machine(), Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace"))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.update(SETTINGS)
    absent = [name for name in LEFT_OUT if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # to import one of them fails then
    gc.disable()
    try:
        with _stderr_closed():
            import tensorflow as tf
    finally:
        for name in absent:
            del sys.modules[name]
        gc.freeze()
        gc.enable()
    tf.get_logger().setLevel("ERROR")


def prepare_tensorflow(threads: int) -> None:
    """Import TensorFlow, set the size of its thread pool, by which it cuts its work, and leave its graphs as they are.

    Both settings can be made once in a process, before its first op. Without the graph optimizer a session is set up
    30 ms faster, and the loops of `training` run no slower.

    Raises:
        InvalidParameter: this process runs with another number of threads already.
    """
    import_tensorflow()
    import tensorflow as tf

    threading = tf.config.threading
    if threading.get_intra_op_parallelism_threads() == threads:
        return
    try:
        threading.set_intra_op_parallelism_threads(threads)
        threading.set_inter_op_parallelism_threads(1)
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    except RuntimeError as error:
        raise InvalidParameter(
            f"threads = {threads}: this process runs with {threading.get_intra_op_parallelism_threads()} already; "
            "one value is allowed in a process"
        ) from error


def give_memory_back() -> None:
    """Let the system have what malloc keeps for later: a sixth of what a CNN's training leaves; takes under 1 ms."""
    ctypes.CDLL(None).malloc_trim(0)


def in_this_thread() -> Any:
    """A ConfigProto for sessions whose ops run in the calling thread; the pool's threads still help within an op.

    The first session of a process decides how many those are, so it names them, as one without a ConfigProto does.
    """
    import tensorflow as tf

    threads = tf.config.threading.get_intra_op_parallelism_threads()
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=threads, inter_op_parallelism_threads=-1)
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    return config


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
