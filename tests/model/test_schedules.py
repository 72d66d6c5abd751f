"""The order of the data, the distortions and the learning rate: pure functions of seed and iteration."""

import numpy as np
import pytest

from tasks.model.schedules import DISTORTION_BLOCK as BLOCK
from tasks.model.schedules import draw_distortions, draw_order, learning_rates


def order(start, stop, *, seed=0, batch_size=4, examples=10):
    return draw_order(seed, start, stop, batch_size=batch_size, examples=examples)


def test_every_epoch_is_a_permutation():
    """No image comes twice in an epoch, and each epoch has another order."""
    found = order(0, 20, batch_size=5, examples=20).reshape(5, 20)
    for epoch in found:
        np.testing.assert_array_equal(np.arange(20), np.sort(epoch))
    assert 5 == len({epoch.tobytes() for epoch in found})


def test_what_does_not_fill_a_batch_is_left_out():
    """Ten images make two batches of four in each epoch, and two images wait for the next."""
    found = order(0, 6)
    assert (6, 4) == found.shape
    assert np.int32 == found.dtype
    assert [8, 8, 8] == [len(set(epoch)) for epoch in found.reshape(3, 8).tolist()]


def test_one_batch_may_be_all_images():
    """A batch of all images is a permutation of them."""
    assert list(range(10)) == sorted(order(3, 4, batch_size=10)[0])


@pytest.mark.parametrize("cut", range(1, 9))
def test_the_order_does_not_depend_on_where_it_is_drawn_from(cut):
    """Two pieces that meet anywhere, within an epoch or between two, are the whole."""
    np.testing.assert_array_equal(order(0, 9), np.concatenate([order(0, cut), order(cut, 9)]))


def test_another_seed_is_another_order():
    """The seed is what the order is drawn from."""
    assert order(0, 9).tobytes() != order(0, 9, seed=1).tobytes()
    assert order(0, 9).tobytes() == order(0, 9).tobytes()


def test_the_order_of_a_seed_never_changes():
    """These numbers were drawn once; a NumPy that draws others would break every promise of reproduction."""
    assert [[0, 9, 3, 4], [5, 7, 8, 6], [7, 1, 6, 5]] == order(0, 3).tolist()


def distortions(start, stop, *, seed=0, kinds=9):
    return draw_distortions(seed, start, stop, batch_size=3, kinds=kinds)


@pytest.mark.parametrize("kinds", [1, 2, 25])
def test_every_distortion_comes_up(kinds):
    """Each image has its own draw, and every kind comes up; where there is one alone, nothing is drawn."""
    found = distortions(0, 500, kinds=kinds)
    assert (500, 3 if kinds > 1 else 0) == found.shape
    assert np.int32 == found.dtype
    for drawn in found.T:
        assert set(range(kinds)) == set(drawn.tolist())


@pytest.mark.parametrize("cut", [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK])
def test_distortions_do_not_depend_on_where_they_are_drawn_from(cut):
    """Two pieces that meet anywhere are the whole, across the blocks in which they are drawn."""
    stop = 2 * BLOCK + 5
    np.testing.assert_array_equal(distortions(0, stop), np.concatenate([distortions(0, cut), distortions(cut, stop)]))


def test_another_seed_is_other_distortions():
    """The seed is what they are drawn from."""
    assert distortions(0, 50).tobytes() != distortions(0, 50, seed=1).tobytes()


def rates(schedule, start=0, stop=1000, total=1000):
    return learning_rates(schedule, 0.5, start, stop, total=total)


def test_a_constant_rate_is_constant():
    """Every iteration has the same rate, whatever the total says."""
    np.testing.assert_array_equal(np.full(1000, 0.5, np.float32), rates("constant", total=0))


@pytest.mark.parametrize(
    ("schedule", "fall"), [("linear", lambda x: x), ("cosine", lambda x: 0.5 - 0.5 * np.cos(np.pi * x))]
)
def test_other_rates_rise_for_a_tenth_and_then_fall(schedule, fall):
    """In a straight line up to the full rate, and down in a line or along half a cosine, to almost zero."""
    found = rates(schedule)
    assert np.float32 == found.dtype
    np.testing.assert_allclose(found[:100], 0.5 * np.arange(1, 101) / 100, rtol=1e-6)
    np.testing.assert_allclose(found[100:], 0.5 * fall((1000 - np.arange(100, 1000)) / 900), rtol=1e-5)
    assert 0 < found[-1] < 0.001


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("total", [1, 2, 9, 10, 11, 1000])
def test_rates_are_positive_and_never_above_the_full_one(schedule, total):
    """However short the training, no iteration is wasted on a rate of zero."""
    found = rates(schedule, 0, total, total)
    assert total == len(found)
    assert (found > 0).all()
    assert (found <= 0.5).all()


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("cut", [1, 99, 100, 101, 999])
def test_rates_do_not_depend_on_where_they_are_asked_for(schedule, cut):
    """Two pieces that meet anywhere are the whole, bit for bit."""
    np.testing.assert_array_equal(rates(schedule), np.concatenate([rates(schedule, 0, cut), rates(schedule, cut)]))
