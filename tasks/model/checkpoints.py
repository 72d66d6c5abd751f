"""The state of a training in a file."""

from pathlib import Path

import numpy as np

from tasks.errors import TrainingFailed
from tasks.model.training import AVERAGE, State

STATE = "state.npz"


def save_state(directory: Path, state: State) -> None:
    """Write `state` into `directory`; the same state gives the same bytes."""
    np.savez(directory / STATE, **state)  # type: ignore[arg-type]  # stubs: a weight named allow_pickle would clash


def load_state(directory: Path) -> State:
    """Read what `save_state` wrote; raises TrainingFailed where that cannot be read."""
    path = directory / STATE
    try:
        with path.open("rb") as stream, np.load(stream) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # NumPy and zipfile raise a dozen kinds, and MemoryError, on bytes of other people
        raise TrainingFailed(
            f"{path}: no state of a training ({type(error).__name__}: {error}); "
            f"remove {directory} and run again: the segment is trained anew"
        ) from error


def load_weights(directory: Path) -> State:
    """The weights to be served: name -> value; those that have an average over the training are that average."""
    state = load_state(directory)
    return {name: state.get(name + AVERAGE, value) for name, value in state.items()}
