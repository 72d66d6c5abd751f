"""Kill a run of the pipeline at random moments: `python -m tests.killing FOLDER MIRROR KILLS SEED`.

Builds versions 1 and 2 in FOLDER in forked children, of which KILLS are killed with SIGKILL; TensorFlow is imported
once, so that each moment of the rest is hit. Prints how many of the children were killed before they were done.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import luigi

from tasks import ExportAllVersions
from tasks.model.tensorflow_setup import import_tensorflow
from tests import small

assert small.SMALL


def build(folder: Path, mirror: str) -> bool:
    """Build both versions in this process; true if they are there."""
    luigi.configuration.get_config().set("DownloadDataset", "mirrors", mirror)
    luigi.configuration.get_config().set("training", "segment", "40")
    task = ExportAllVersions(
        versions="1,2",
        dataset="small",
        model="cnn",
        batch_size=16,
        schedule="linear",
        training_iteration=120,
        base_path=folder / "models",
        work_dir=folder / "work",
    )
    luigi.build([task], local_scheduler=True, log_level="ERROR")
    return task.complete()


def main(folder: Path, mirror: str, kills: int, seed: int) -> None:
    """Fork, kill, fork again."""
    import_tensorflow()
    draw = random.Random(seed)
    killed = attempts = 0
    longest = 1.5
    while True:
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            os._exit(0 if build(folder, mirror) else 1)
        attempts += 1
        if attempts <= kills:
            time.sleep(draw.uniform(0.02, longest))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
        if attempts > kills:
            print(killed, os.waitstatus_to_exitcode(status), round(time.monotonic() - began, 1))  # noqa: T201 - read by the test
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
