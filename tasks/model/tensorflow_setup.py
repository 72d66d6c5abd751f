"""TensorFlow as every process here has it: imported fast and in silence, with the settings that shape the bits.

This module itself is light: it imports TensorFlow when it is asked to.
"""

import contextlib
import gc
import os
import sys
from collections.abc import Iterator

from tasks.errors import InvalidParameter


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
    gc.disable()
    without_keras = sys.modules.setdefault("keras", None) is None  # type: ignore[arg-type]  # "import keras" fails then
    try:
        with _stderr_closed():
            import tensorflow as tf
    finally:
        if without_keras:
            del sys.modules["keras"]
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
            "one value is allowed in a run"
        ) from error


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
