"""Training: the same bits however it is cut, in whatever process, and the numbers that NumPy gives."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from tasks.errors import TrainingFailed
from tasks.model import training
from tasks.model.architectures import ARCHITECTURES, Architecture, architecture
from tasks.model.schedules import draw_distortions, draw_order
from tasks.model.training import train
from tests import small

tf1 = tf.compat.v1

SOFTMAX = small.make_recipe(batch_size=20)
CNN = small.make_recipe(model="cnn", batch_size=20, schedule="linear")
MOMENTUM = replace(SOFTMAX, optimizer="momentum", learning_rate=0.05, schedule="cosine")
RECIPES = pytest.mark.parametrize("recipe", [SOFTMAX, MOMENTUM, CNN], ids=["softmax", "momentum", "cnn"])

ANOTHER_PROCESS = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from tasks.model.tensorflow_setup import prepare_tensorflow
prepare_tensorflow(1)
from tests import small
from tests.model.test_training import CNN, SOFTMAX, fingerprint, train
images, labels = small.make_images(200, seed=3)
for recipe in (SOFTMAX, CNN):
    state = train(
        recipe, images.reshape(-1, 784), labels, form=small.FORM, total_iterations=12, start=0, stop=12, state=None,
        report=lambda done, loss: None,
    )
    print(fingerprint(state))
"""


def ignore(done, loss):
    """Report to nobody."""


def fingerprint(state):
    digest = hashlib.sha256()
    for name, value in state.items():
        digest.update(name.encode() + value.tobytes())
    return digest.hexdigest()


def run(recipe, data, start, stop, *, total=12, state=None, report=ignore):
    return train(
        recipe, *data, form=small.FORM, total_iterations=total, start=start, stop=stop, state=state, report=report
    )


@RECIPES
def test_a_training_that_is_continued_gives_the_same_bits(data, recipe):
    """Cut at any iteration and continued from the state there, weights and slots are those of one go."""
    whole = fingerprint(run(recipe, data, 0, 12))
    for cut in (1, 5, 10, 11):
        half = run(recipe, data, 0, cut)
        assert whole == fingerprint(run(recipe, data, cut, 12, state=half))


@RECIPES
def test_how_often_python_is_asked_changes_no_bit(data, recipe, monkeypatch):
    """Calls of three iterations give what one call of all gives."""
    whole = fingerprint(run(recipe, data, 0, 12))
    monkeypatch.setattr(training, "FIRST_CALL", 3)
    monkeypatch.setattr(training, "LONGEST_CALL_SECONDS", 0.0)
    assert whole == fingerprint(run(recipe, data, 0, 12))


@RECIPES
def test_the_seed_shapes_the_weights(data, recipe):
    """Another seed gives other weights, the same seed the same."""
    first, second = (run(replace(recipe, seed=seed), data, 0, 12) for seed in (1, 2))
    assert fingerprint(first) != fingerprint(second)
    assert fingerprint(first) == fingerprint(run(replace(recipe, seed=1), data, 0, 12))


def test_another_process_on_one_core_gives_the_same_bits(data):
    """With one thread, the weights depend neither on the process nor on how many cores it sees."""
    found = subprocess.run(
        [sys.executable, "-c", ANOTHER_PROCESS],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert 1 == tf.config.threading.get_intra_op_parallelism_threads()
    expected = [fingerprint(run(recipe, data, 0, 12)) for recipe in (SOFTMAX, CNN)]
    assert expected == found.stdout.split()


def test_a_returned_state_is_not_changed_by_the_next_training(data):
    """One session serves all trainings, and what it has handed out is the caller's own."""
    first = run(SOFTMAX, data, 0, 3)
    before = fingerprint(first)
    run(SOFTMAX, data, 3, 9, state=first)
    run(replace(SOFTMAX, seed=5), data, 0, 3)
    assert before == fingerprint(first)


def test_softmax_is_plain_gradient_descent(data):
    """Thirty iterations give the weights that NumPy's float64 gives with the same batches, to 1e-5."""
    images, labels = data
    weights, biases = np.zeros((784, 10)), np.zeros(10)
    for batch in draw_order(0, 0, 30, batch_size=20, examples=len(images)):
        x, y = images[batch] / 255.0, np.eye(10)[labels[batch]]
        logits = x @ weights + biases
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        error = (exponentials / exponentials.sum(axis=1, keepdims=True) - y) / len(batch)
        weights -= 0.5 * x.T @ error
        biases -= 0.5 * error.sum(axis=0)
    found = run(SOFTMAX, data, 0, 30)
    assert {"weights", "biases"} == set(found)
    np.testing.assert_allclose(weights, found["weights"], atol=1e-5)
    np.testing.assert_allclose(biases, found["biases"], atol=1e-5)


@RECIPES
def test_the_loss_falls(data, recipe):
    """After sixty iterations over easy images the loss is less than half of the ln 10 of guessing."""
    losses = []
    run(recipe, data, 0, 60, total=60, report=lambda _, loss: losses.append(loss))
    assert losses[-1] < np.log(10) / 2


def test_the_slots_of_the_optimizer_are_part_of_the_state(data):
    """Every weight has its slots beside it, float32 and of its shape."""
    state = run(CNN, data, 0, 1)
    weights = [name for name in state if "adam" not in name and not name.endswith("/average")]
    assert sorted(f"{name}{more}" for name in weights for more in ("", "/adam_m", "/adam_v", "/average")) == sorted(
        state
    )
    for weight in weights:
        assert {state[weight].shape} == {state[f"{weight}/{slot}"].shape for slot in ("adam_m", "adam_v")}
    assert {np.dtype(np.float32)} == {value.dtype for value in state.values()}


def test_weights_start_as_their_architecture_says(data):
    """At iteration 0 a kernel has the variance 2 / fan_in, an average is its weight, and biases and slots are zero."""
    state = run(CNN, data, 0, 0)
    kernel = state["hidden/kernel"]
    assert 2 / kernel.shape[0] == pytest.approx(kernel.var(), rel=0.02)
    assert 0 == pytest.approx(kernel.mean(), abs=1e-3)
    assert kernel.tobytes() == state["hidden/kernel/average"].tobytes()
    others = [value for name, value in state.items() if not name.removesuffix("/average").endswith("kernel")]
    assert not any(value.any() for value in others)


def test_no_iterations_change_nothing(data):
    """From iteration 7 to iteration 7, the state is what was handed in."""
    state = run(MOMENTUM, data, 0, 7)
    assert fingerprint(state) == fingerprint(run(MOMENTUM, data, 7, 7, state=state))


def test_progress_is_reported(data, monkeypatch):
    """Each entry into the loop is reported with the iterations done so far, the last with all of them."""
    monkeypatch.setattr(training, "FIRST_CALL", 4)
    monkeypatch.setattr(training, "LONGEST_CALL_SECONDS", 1000.0)
    reports = []
    run(SOFTMAX, data, 2, 20, state=run(SOFTMAX, data, 0, 2), report=lambda *report: reports.append(report))
    assert [6, 14, 20] == [done for done, _ in reports]  # the calls double from 4
    assert all(0 < loss < 3 for _, loss in reports)


@pytest.mark.parametrize("first_call", [1, 100])
def test_a_loss_that_is_no_number_says_at_which_iteration(data, monkeypatch, first_call):
    """The first update with an absurd rate spoils the weights, so the loss of the second iteration is no number."""
    monkeypatch.setattr(training, "FIRST_CALL", first_call)
    recipe = replace(SOFTMAX, learning_rate=3e38)
    with pytest.raises(
        TrainingFailed, match=r"^the loss is (nan|inf) at iteration 2; a lower learning_rate than 3e\+38"
    ):
        run(recipe, data, 0, 50)


def test_iterations_are_counted_from_the_start_of_the_training(data):
    """A continued training that fails at once fails at the iteration after those done before."""
    state = {name: np.full_like(value, np.nan) for name, value in run(SOFTMAX, data, 0, 1).items()}
    with pytest.raises(TrainingFailed, match=r"^the loss is nan at iteration 41;"):
        run(SOFTMAX, data, 40, 50, state=state)


def test_a_failed_training_does_not_spoil_the_next(data):
    """After a loss that is no number, the same process trains the same recipe to the same bits as before."""
    before = fingerprint(run(SOFTMAX, data, 0, 5))
    with pytest.raises(TrainingFailed):
        run(replace(SOFTMAX, learning_rate=3e38), data, 0, 50)
    assert before == fingerprint(run(SOFTMAX, data, 0, 5))


def test_a_batch_above_the_data_is_refused(data):
    """The error names the batch size and how many images there are."""
    assert 2 == len(run(replace(SOFTMAX, batch_size=200), data, 0, 1))
    with pytest.raises(TrainingFailed, match=r"^batch_size = 201: the training split has only 200 images$"):
        run(replace(SOFTMAX, batch_size=201), data, 0, 1)


@pytest.mark.parametrize(
    ("logits", "shape"),
    [
        (lambda images, weight: images @ weight("weights", [784, 12]), r"\(1, 12\)"),
        (lambda images, weight: tf.squeeze(images @ weight("weights", [784, 1])), r"\(\)"),
        (
            lambda images, weight: tf.py_function(lambda x: x, [images @ weight("w", [784, 10])], tf.float32),
            "<unknown>",
        ),
    ],
    ids=["classes", "rank", "unknown"],
)
def test_a_network_for_other_classes_is_refused_before_the_first_iteration(data, monkeypatch, logits, shape):
    """The error names the model, the shape of what it gives, and how many classes there are."""
    monkeypatch.setitem(ARCHITECTURES, "other", Architecture("other", logits, "sgd", 0.5))
    with pytest.raises(
        TrainingFailed,
        match=f"^model 'other' gives logits of the shape {shape} for one image; the dataset has 10 classes",
    ):
        run(replace(SOFTMAX, model="other"), data, 0, 1)


def test_training_distorts_each_image_by_its_own_draw(data, monkeypatch):
    """An architecture with a shift trains on moved images: as if NumPy had moved each by what was drawn."""

    @architecture(optimizer="sgd", learning_rate=0.5, shift=2)
    def shifted(images, weight):
        return tf.matmul(images, weight("weights", [784, 10]))

    monkeypatch.setitem(ARCHITECTURES, "shifted", ARCHITECTURES.pop("shifted"))
    images, labels = data
    weights = np.zeros((784, 10))
    batches = draw_order(0, 0, 5, batch_size=20, examples=len(images))
    for batch, moves in zip(batches, draw_distortions(0, 0, 5, batch_size=20, kinds=25), strict=True):
        frames = np.pad(images[batch].reshape(-1, 28, 28), ((0, 0), (2, 2), (2, 2)))
        places = [divmod(24 - move, 5) for move in moves.tolist()]  # the first is two up, two to the left
        cut = [frame[down : down + 28, right : right + 28] for frame, (down, right) in zip(frames, places, strict=True)]
        x = np.stack(cut).reshape(-1, 784) / 255.0
        exponentials = np.exp(x @ weights)
        error = (exponentials / exponentials.sum(axis=1, keepdims=True) - np.eye(10)[labels[batch]]) / len(batch)
        weights -= 0.5 * x.T @ error
    found = run(replace(SOFTMAX, model="shifted"), data, 0, 5)
    np.testing.assert_allclose(weights, found["weights"], atol=1e-5)


def test_averages_follow_the_weights(data, monkeypatch):
    """What is served of an architecture with an average is what NumPy gives for the weights after each iteration."""

    @architecture(optimizer="sgd", learning_rate=0.5, average=0.8)
    def averaged(images, weight):
        return tf.matmul(images, weight("weights", [784, 10]))

    monkeypatch.setitem(ARCHITECTURES, "averaged", ARCHITECTURES.pop("averaged"))
    recipe = replace(SOFTMAX, model="averaged")
    state, average = None, np.zeros((784, 10))
    for iteration in range(60):
        state = run(recipe, data, iteration, iteration + 1, state=state)
        average += (state["weights"] - average) * max(0.2, 9 / (10 + iteration + 1))
    np.testing.assert_allclose(average, state["weights/average"], atol=1e-5)
    assert fingerprint(run(recipe, data, 0, 60)) == fingerprint(state)


@pytest.mark.parametrize("functional", [True, False])
def test_other_graphs_keep_their_kind_of_loops(functional):
    """Building a training changes nothing for the loops that others build in this process."""
    was_functional = tf1.control_flow_v2_enabled()
    (tf1.enable_control_flow_v2 if functional else tf1.disable_control_flow_v2)()
    try:
        training.TrainingLoop(ARCHITECTURES["softmax"], "sgd", small.FORM)
        assert functional == tf1.control_flow_v2_enabled()
    finally:
        (tf1.enable_control_flow_v2 if was_functional else tf1.disable_control_flow_v2)()
