"""What happens at which iteration: the order of the data and the learning rate.

Both are pure functions of the recipe and of the iteration, so a training that continues at iteration k sees
exactly what one that came there without a stop sees. The random numbers are NumPy's `RandomState`, whose
stream NumPy has promised never to change.
"""

import math

import numpy as np
from numpy.typing import NDArray

ORDER_STREAM, DISTORTION_STREAM = 1, 2  # so that the two draw from unrelated streams of one seed
DISTORTION_BLOCK = 100  # iterations whose distortions are drawn at once
WARM_UP = 0.1  # of all iterations, for the schedules that end at zero


def draw_order(seed: int, start: int, stop: int, *, batch_size: int, examples: int) -> NDArray[np.int32]:
    """The images of iterations `start` to `stop`: int32 [stop - start, batch_size], values below `examples`.

    Every epoch is a new permutation of all images; what does not fill a batch at its end is left out.
    """
    per_epoch = examples // batch_size
    batches = []
    for epoch in range(start // per_epoch, (stop - 1) // per_epoch + 1):
        permutation = _stream(seed, ORDER_STREAM, epoch).permutation(examples)
        first, last = max(start - epoch * per_epoch, 0), min(stop - epoch * per_epoch, per_epoch)
        batches.append(permutation[first * batch_size : last * batch_size].reshape(-1, batch_size))
    return np.concatenate(batches).astype(np.int32)


def draw_distortions(seed: int, start: int, stop: int, *, batch_size: int, kinds: int) -> NDArray[np.int32]:
    """How each image of iterations `start` to `stop` is changed: int32 [n, batch_size], below `kinds`.

    With one kind, which changes nothing, nothing is drawn: int32 [n, 0].
    """
    if kinds == 1:
        return np.zeros((stop - start, 0), np.int32)
    drawn = [
        _stream(seed, DISTORTION_STREAM, block).randint(0, kinds, size=(DISTORTION_BLOCK, batch_size))
        for block in range(start // DISTORTION_BLOCK, (stop - 1) // DISTORTION_BLOCK + 1)
    ]
    offset = start % DISTORTION_BLOCK
    return np.concatenate(drawn)[offset : offset + stop - start].astype(np.int32)


def learning_rates(schedule: str, rate: float, start: int, stop: int, *, total: int) -> NDArray[np.float32]:
    """The learning rate of iterations `start` to `stop`: float32 [stop - start].

    `constant` ignores `total`. `linear` and `cosine` rise to `rate` over the first tenth of the `total`
    iterations, and fall to zero over the rest, in a straight line or along half a cosine.
    """
    if schedule == "constant":
        return np.full(stop - start, rate, np.float32)
    done = np.arange(start, stop, dtype=np.float64) / total
    rise = (done + 1.0 / total) / WARM_UP
    left = (1.0 - done) / (1.0 - WARM_UP)  # above 1 while the rate still rises
    fall = left if schedule == "linear" else _half_cosine(np.minimum(left, 1.0))
    return (rate * np.minimum(np.minimum(rise, fall), 1.0)).astype(np.float32)


def _half_cosine(left: NDArray[np.float64]) -> NDArray[np.float64]:
    """From 0 at 0 to 1 at 1, by Python's `math`: NumPy's cosine gives other last bits on other processors."""
    return np.array([0.5 - 0.5 * math.cos(math.pi * value) for value in left])


def _stream(seed: int, purpose: int, number: int) -> np.random.RandomState:
    return np.random.RandomState([seed, purpose, number])
