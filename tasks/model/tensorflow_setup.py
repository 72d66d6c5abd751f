"""The settings of TensorFlow that shape the bits of a training; they can be made once in a process."""

from __future__ import annotations

import tensorflow as tf

from tasks.errors import InvalidParameter


def fix_settings(threads: int) -> None:
    """Set the size of TensorFlow's thread pool, by which it cuts its work, and leave its graphs as they are.

    Without the graph optimizer a session is set up 30 ms faster, and the loops of `training` run no slower.

    Raises:
        InvalidParameter: this process runs with another number of threads already.
    """
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
