"""What the tests let engines do; nothing here needs TensorFlow until it is called."""

import copyreg
import os
import signal
import threading
import time
from pathlib import Path

from tasks.errors import DownloadFailed, TrainingFailed


def add(first, second, *, third=0):
    return first + second + third


def tell(count, *, report):
    for number in range(1, count + 1):
        report(number / count, f"{number} of {count}")
    return os.getpid()


def find_process():
    import tensorflow as tf

    return os.getpid(), os.getppid(), tf.config.threading.get_intra_op_parallelism_threads()


def wait(path, seconds=60):
    """Say in a file that it runs, and in which processes."""
    Path(path).write_text(f"{os.getpid()} {os.getppid()}")
    time.sleep(seconds)


def find_model(name):
    from tasks.model.architectures import find_architecture

    return os.getppid(), find_architecture(name).learning_rate


def refuse():
    raise TrainingFailed("the loss is nan")


def refuse_for_a_reason_that_cannot_travel():
    """As tblib has it, which TensorFlow loads where it is installed: what caused an error is pickled with it."""
    copyreg.pickle(DownloadFailed, lambda error: (DownloadFailed, error.args, {"__cause__": error.__cause__}))
    try:
        raise OSError(threading.Lock())
    except OSError as error:
        raise DownloadFailed("no answer") from error


def stumble():
    return 1 // 0


def ask_tensorflow():
    import tensorflow as tf

    raise tf.errors.NotFoundError(None, None, "no such op")


def interrupt():
    raise ConnectionResetError("of its own")


def take_all_memory():
    return bytearray(1 << 50)


def crash():
    os.write(2, b"last words of C++\n")
    os.abort()


def chatter():
    os.write(2, b"chatter of C++\n")
    print("words of Python", file=__import__("sys").stderr)


def fill(directory, arrays, value, *, report):
    """Write files, and say where this ran and where the arrays were."""
    report(0.5, "half")
    (directory / "deep").mkdir()
    (directory / "deep" / "file").write_bytes(value * len(list(arrays.iterdir())))
    return os.getpid(), str(arrays), (arrays / "a").read_bytes()[:1], str(directory)


def fill_and_refuse(directory):
    (directory / "file").write_bytes(b"")
    refuse()


def fill_and_stumble(_):
    return stumble()


def fill_and_ask_tensorflow(_):
    """Run an op, and raise what TensorFlow raises."""
    import tensorflow as tf

    assert 2 == int(tf.constant(1) + 1)
    ask_tensorflow()


def fill_and_find_profilers(_):
    time.sleep(0.5)  # the loop of the worker stops them
    return find_profilers()


def find_profilers():
    """Dask's own profilers of this worker, by name, and whether each is looking."""
    from distributed import get_worker

    callbacks = get_worker().periodic_callbacks
    return {name: one.is_running() for name, one in callbacks.items() if name.startswith("profile")}


def die(_, counter, times):
    """End the process that runs this, the first times that it is called."""
    path = Path("/") / counter
    called = len(path.read_text()) if path.exists() else 0
    path.write_text("x" * (called + 1))
    if called < times:
        os.kill(os.getpid(), signal.SIGKILL)
    return called


def wait_and_fill(_, path, seconds):
    wait(Path("/") / path, seconds)
