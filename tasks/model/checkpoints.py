"""The state of a training in a file."""

from pathlib import Path

import numpy as np

from tasks.model.training import AVERAGE, State

STATE = "state.npz"


def save_state(directory: Path, state: State) -> None:
    """Write `state` into `directory`; the same state gives the same bytes."""
    np.savez(directory / STATE, **state)  # type: ignore[arg-type]  # stubs: a weight named allow_pickle would clash


def load_state(directory: Path) -> State:
    """Read what `save_state` wrote."""
    with np.load(directory / STATE) as archive:
        return {name: archive[name] for name in archive.files}


def load_weights(directory: Path) -> State:
    """The weights to be served: name -> value; those that have an average over the training are that average."""
    state = load_state(directory)
    return {name: state.get(name + AVERAGE, value) for name, value in state.items()}
