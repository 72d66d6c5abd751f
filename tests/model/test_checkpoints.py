"""The state of a training in a file, written and read for real."""

import zipfile

import numpy as np
import pytest

from tasks.errors import TrainingFailed
from tasks.model.checkpoints import STATE, load_state, load_weights, save_state
from tests.pickles import Payload

STATE_WITH_SLOTS = {
    "hidden/kernel": np.random.RandomState(0).standard_normal((3, 4)).astype(np.float32),
    "hidden/kernel/adam_m": np.float32([[np.pi, -0.0], [np.finfo(np.float32).tiny, 1e-45]]),
    "biases": np.zeros(3, np.float32),
}


def test_a_state_that_is_saved_is_loaded_again(tmp_path):
    """Names, shapes, types and bits survive."""
    save_state(tmp_path, STATE_WITH_SLOTS)
    found = load_state(tmp_path)
    assert list(STATE_WITH_SLOTS) == list(found)
    for name, expected in STATE_WITH_SLOTS.items():
        assert (expected.shape, expected.dtype) == (found[name].shape, found[name].dtype)
        assert expected.tobytes() == found[name].tobytes()


def test_the_same_state_gives_the_same_bytes(tmp_path):
    """Nothing in the file depends on when it was written."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        save_state(tmp_path / name, STATE_WITH_SLOTS)
    assert (tmp_path / "first" / STATE).read_bytes() == (tmp_path / "second" / STATE).read_bytes()
    with zipfile.ZipFile(tmp_path / "first" / STATE) as archive:
        assert {(1980, 1, 1, 0, 0, 0)} == {entry.date_time for entry in archive.infolist()}


def test_another_state_gives_other_bytes(tmp_path):
    """One changed bit shows."""
    save_state(tmp_path, STATE_WITH_SLOTS)
    before = (tmp_path / STATE).read_bytes()
    save_state(tmp_path, {**STATE_WITH_SLOTS, "biases": np.float32([0, 0, 1e-45])})
    assert before != (tmp_path / STATE).read_bytes()


def test_averages_are_what_is_served(tmp_path):
    """The weights of a checkpoint are their averages where there are any."""
    state = {"a": np.zeros(2, np.float32), "a/average": np.ones(2, np.float32), "b": np.full(1, 3, np.float32)}
    save_state(tmp_path, state)
    weights = load_weights(tmp_path)
    assert [[1, 1], [3]] == [weights[name].tolist() for name in ("a", "b")]


@pytest.mark.parametrize("load", [load_state, load_weights])
def test_a_pickle_in_a_checkpoint_is_not_opened(tmp_path, load):
    """NumPy would run what is in it: it is refused, as a member of the archive and in its place."""
    payload = Payload(tmp_path / "was-run")
    payload.prove()
    np.savez(tmp_path / STATE, weights=np.array([payload], dtype=object), allow_pickle=True)
    with pytest.raises(TrainingFailed, match="Object arrays cannot be loaded when allow_pickle=False"):
        load(tmp_path)
    (tmp_path / STATE).write_bytes(payload.pickled())
    with pytest.raises(TrainingFailed, match="contains pickled"):
        load(tmp_path)
    assert not payload.path.exists()
