"""Training: one graph, one loop inside it, entered from Python about once a second.

The loop runs in TensorFlow (`tf.while_loop` in a `Session`). Python hands in the images as they lie in the
memory map, the indices that each batch takes from them and the learning rate of each iteration, and the loop
gathers, converts, computes the mean cross-entropy and applies its gradient. Nothing in the graph depends on
seed, schedule or number of iterations, so one graph serves every recipe of an architecture and optimizer.

Tried on 2 cores, for 1000 iterations of softmax (NumPy alone needs 0.07 to 0.08 s):

- one `session.run` with a feed_dict an iteration: 0.4 s;
- a functional loop in a Session: 0.077 s, 0.065 s to build, 0.065 s for its first run;
- the loop as nodes of the graph (what is here): 0.071 s, 0.050 s to build, 0.055 s for its first run;
- with the gradient of the weights by way of its transpose (`gradients`): 0.063 instead of 0.079 s, the same bits;
- TensorFlow's graph optimizer on: no faster, and 0.03 s more for each new session; so it is off;
- XLA (auto-clustering): 0.2 s, and 9 s to compile for each new number of iterations;
- images copied into memory instead of mapped: no faster, for TensorFlow reads a fed array where it lies;
- the loop in one `tf.function`: 0.4 s to trace in each process that trains, against 0.05 s to build this graph.
"""

import contextlib
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tasks.errors import TrainingFailed
from tasks.model import schedules
from tasks.model.architectures import Architecture, Weights, find_architecture
from tasks.model.gradients import PRODUCT
from tasks.model.images import Form
from tasks.model.optimizers import OPTIMIZERS
from tasks.recipes.recipe import Recipe

tf1 = tf.compat.v1

FIRST_CALL = 100  # iterations; doubled until a call takes half a second
LONGEST_CALL_SECONDS = 0.5
AVERAGE = "/average"  # behind the name of a weight: its average over the training

State = Mapping[str, NDArray[np.float32]]
Report = Callable[[int, float], None]


def train(
    recipe: Recipe,
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    *,
    form: Form,
    total_iterations: int,
    start: int,
    stop: int,
    state: State | None,
    report: Report,
) -> State:
    """Run iterations `start` to `stop` and return the state after them.

    Args:
        recipe: what to train, and how.
        images: uint8 [n, 784] with values 0 to 255.
        labels: uint8 [n] with values 0 to 9.
        form: how many pixels and classes those are.
        total_iterations: after which a schedule ends that does: see `schedules.learning_rates`.
        start: iterations done so far.
        stop: iterations done when this returns.
        state: what an earlier call returned for `start` iterations; None at 0.
        report: called now and then with the iterations done and the last loss.

    Returns:
        Every weight by its name, the optimizer's slots as `<weight>/<slot>` and, where the architecture has them,
        averages as `<weight>/average`, float32. The same arguments give the same bits, and so do two calls that
        meet halfway.

    Raises:
        TrainingFailed: the loss is NaN or infinite (the text says at which iteration), the data has fewer images
            than a batch, or the model gives another number of logits than there are classes.
    """
    if recipe.batch_size > len(images):
        raise TrainingFailed(f"batch_size = {recipe.batch_size}: the training split has only {len(images)} images")
    loop = training_loop(recipe.model, recipe.optimizer, form)
    loop.restore(loop.initial_state(recipe.seed) if state is None else state)
    done, iterations = start, FIRST_CALL
    while done < stop:
        until = min(done + iterations, stop)
        began = time.monotonic()
        ran, loss = loop.run(
            images,
            labels,
            schedules.draw_order(recipe.seed, done, until, batch_size=recipe.batch_size, examples=len(images)),
            schedules.draw_distortions(
                recipe.seed, done, until, batch_size=recipe.batch_size, kinds=loop.distortions.kinds
            ),
            schedules.learning_rates(recipe.schedule, recipe.learning_rate, done, until, total=total_iterations),
            done,
        )
        if not np.isfinite(loss):
            raise TrainingFailed(
                f"the loss is {loss} at iteration {done + ran}; a lower learning_rate than "
                f"{recipe.learning_rate:g} may help"
            )
        done = until
        report(done, float(loss))
        if time.monotonic() - began < LONGEST_CALL_SECONDS:
            iterations *= 2
    return loop.fetch()


class TrainingLoop:
    """The graph of one architecture with one optimizer, and a session that serves one training after another.

    `run(images, labels, order, distortions, learning_rates, start)` runs an iteration for each row of `order` and
    returns how many it ran and the last loss; it stops early at a loss that is NaN or infinite.
    """

    def __init__(self, architecture: Architecture, optimizer_name: str, form: Form) -> None:
        self.distortions = architecture.distortions
        self.average = architecture.average
        self.weights: dict[str, tf.Variable] = {}
        self.fan_in: dict[str, int] = {}
        self.variables: dict[str, tf.Variable] = {}
        self.graph = tf.Graph()
        gradients = self.graph.gradient_override_map({"MatMul": PRODUCT})
        with self.graph.as_default(), _loops_in_the_graph(), gradients:
            self._build(architecture, optimizer_name, form)
        self.session = tf1.Session(graph=self.graph)
        self.run = self.session.make_callable([self.done, self.loss], feed_list=self.feeds)

    def initial_state(self, seed: int) -> State:
        """The state at iteration 0; each weight draws from a stream of its own, named by the weight."""
        state = {}
        for name, variable in self.variables.items():
            shape = tuple(variable.shape.as_list())
            fan_in = self.fan_in.get(name, 0)
            if fan_in:
                stream = np.random.RandomState([seed, zlib.crc32(name.encode())])
                state[name] = (stream.standard_normal(shape) * np.sqrt(2.0 / fan_in)).astype(np.float32)
            else:
                state[name] = np.zeros(shape, np.float32)
        return {name: state[name.removesuffix(AVERAGE)] for name in state}  # an average begins as its weight

    def restore(self, state: State) -> None:
        """Set every variable to its value in `state`, which takes the place of what its initializer would give."""
        self.session.run(
            [variable.initializer for variable in self.variables.values()],
            {variable.initializer.inputs[1]: state[name] for name, variable in self.variables.items()},
        )

    def fetch(self) -> State:
        """The value of every variable."""
        return dict(zip(self.variables, self.session.run(list(self.variables.values())), strict=True))

    def _build(self, architecture: Architecture, optimizer_name: str, form: Form) -> None:
        weight = Weights(self._weight, form)
        images = tf1.placeholder(tf.uint8, [None, form.pixels], "images")
        labels = tf1.placeholder(tf.uint8, [None], "labels")
        order = tf1.placeholder(tf.int32, [None, None], "order")
        distortions = tf1.placeholder(tf.int32, [None, None], "distortions")
        rates = tf1.placeholder(tf.float32, [None], "learning_rates")
        start = tf1.placeholder(tf.int32, [], "start")
        self.feeds = [images, labels, order, distortions, rates, start]
        # Once outside the loop, so that the weights exist before it
        architecture.check_classes(architecture.logits(tf.zeros([1, form.pixels]), weight), form.classes)
        optimizer = OPTIMIZERS[optimizer_name]
        slots = {
            name: {slot: self._variable(f"{name}/{slot}", weight.shape) for slot in optimizer.slots}
            for name, weight in self.weights.items()
        }
        averages = {
            name: self._variable(name + AVERAGE, weight.shape) for name, weight in self.weights.items() if self.average
        }
        tables = tf.constant(self.distortions.tables(form)) if self.distortions.kinds > 1 else None

        # The gradient of a mean costs ten more nodes than that of the losses weighted beforehand
        share = tf.fill(tf.shape(order)[1:], 1.0 / tf.cast(tf.shape(order)[1], tf.float32))  # (batch,)

        def step(index: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            chosen = order[index]  # (batch,)
            bytes_ = tf.bitcast(tf.gather(images, chosen), tf.quint8)
            # float32 [batch, 784]: a cast and a product by 1/255 give the same bits in twice the time
            batch = tf.raw_ops.Dequantize(input=bytes_, min_range=0.0, max_range=1.0, mode="SCALED")
            if tables is not None:
                framed = tf.pad(batch, [[0, 0], [0, 1]])  # (batch, 785): one black pixel for all outside
                batch = tf.gather(framed, tf.gather(tables, distortions[index]), batch_dims=1)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels=tf.cast(tf.gather(labels, chosen), tf.int32), logits=architecture.logits(batch, weight)
            )  # (batch,)
            gradients = tf.gradients(losses, list(self.weights.values()), grad_ys=share)
            iteration = tf.cast(start + index + 1, tf.float32)
            updates = [
                optimizer.update(weight, slots[name], gradient, rates[index], iteration)
                for (name, weight), gradient in zip(self.weights.items(), gradients, strict=True)
            ]
            with tf.control_dependencies(updates):
                averaging = [
                    tf.raw_ops.AssignAddVariableOp(
                        resource=average.handle,
                        value=(self.weights[name].read_value() - average) * self._share_of_the_newest(iteration),
                    )
                    for name, average in averages.items()
                ]
            with tf.control_dependencies([*updates, *averaging]):
                return index + 1, tf.reduce_mean(losses)

        def goes_on(index: tf.Tensor, loss: tf.Tensor) -> tf.Tensor:
            return tf.logical_and(index < tf.shape(order)[0], tf.math.is_finite(loss))

        self.done, self.loss = tf1.while_loop(goes_on, step, [tf.constant(0), tf.constant(0.0)], parallel_iterations=1)

    def _share_of_the_newest(self, iteration: tf.Tensor) -> tf.Tensor:
        """How much of the newest weights enters their average: much at first, `1 - average` from then on."""
        return tf.maximum(1.0 - self.average, 9.0 / (10.0 + iteration))

    def _weight(self, name: str, shape: Sequence[int], fan_in: int = 0) -> tf.Variable:
        if name not in self.weights:
            self.weights[name] = self._variable(name, shape)
            self.fan_in[name] = fan_in
        return self.weights[name]

    def _variable(self, name: str, shape: Sequence[int]) -> tf.Variable:
        self.variables[name] = tf1.get_variable(
            name, shape, tf.float32, initializer=tf1.zeros_initializer(), use_resource=True
        )
        return self.variables[name]


@lru_cache(maxsize=4)
def training_loop(model: str, optimizer: str, form: Form) -> TrainingLoop:
    """The graph for that architecture and optimizer on images of that form, built once a process."""
    return TrainingLoop(find_architecture(model), optimizer, form)


@contextlib.contextmanager
def _loops_in_the_graph() -> Iterator[None]:
    """Build loops of TensorFlow 1 in the block, whose body is part of the graph and no function of its own."""
    functional = tf1.control_flow_v2_enabled()
    tf1.disable_control_flow_v2()
    try:
        yield
    finally:
        if functional:
            tf1.enable_control_flow_v2()
