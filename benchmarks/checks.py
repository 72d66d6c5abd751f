"""What the checks before publishing cost: the C++ loader, the warm-up written and replayed, the golden answers."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tasks.data.arrays import Splits
from tasks.model.tensorflow_setup import prepare_tensorflow

WARMUP_RECORDS = 3


def checks_before_publishing(splits: Splits, rounds: int) -> dict[str, list[float]]:
    """Architecture -> seconds of the processor in each round, after one that sets up what a process sets up once."""
    prepare_tensorflow(1)
    from tasks.execution.computations import form_of
    from tasks.model.architectures import find_architecture
    from tasks.model.training import training_loop
    from tasks.savedmodel.writer import write_saved_model

    seconds = {}
    for name in ("softmax", "cnn"):
        architecture = find_architecture(name)
        weights = training_loop(name, architecture.optimizer, form_of("mnist")).initial_state(0)
        with tempfile.TemporaryDirectory() as folder:
            version = Path(folder, "1")
            write_saved_model(version, architecture, form_of("mnist"), weights)
            seconds[name] = [_check(version, splits) for _ in range(rounds + 1)][1:]
    return seconds


def _check(version: Path, splits: Splits) -> float:
    from tasks.savedmodel.cpp_loader import check_loads
    from tasks.savedmodel.golden import write_golden
    from tasks.savedmodel.loaded_model import load_saved_model
    from tasks.savedmodel.warmup import replay_warmup, write_warmup

    began = time.process_time()
    check_loads(version)
    taken = time.process_time() - began
    with load_saved_model(version) as model:  # which an export does anyway
        began = time.process_time()
        write_warmup(version, splits.validation.images, WARMUP_RECORDS)
        replay_warmup(model)
        write_golden(model, splits.validation.images)
        return taken + time.process_time() - began
