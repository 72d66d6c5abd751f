"""How images are changed: which value of the image comes where."""

import numpy as np
import pytest

from tasks.model.distortions import Distortions
from tasks.model.images import Form
from tests import small

GREY = Form((9, 9, 1), ("a", "b"))


def distorted(image, distortions, kind, form):
    return np.append(image.ravel(), 0.0)[distortions.tables(form)[kind]].reshape(form.shape)


@pytest.mark.parametrize(("kind", "expected"), [(0, (4, 9)), (4, (5, 10)), (7, (6, 10))])
def test_a_shift_moves_images(kind, expected):
    """A shift of 1 moves the pixel of row 5, column 10 by up to one pixel, and black comes in at the edge."""
    image = np.zeros((28, 28, 1), np.float32)
    image[5, 10] = 1.0
    moved = distorted(image, Distortions(shift=1), kind, small.FORM)
    assert [expected] == [tuple(place) for place in np.argwhere(moved[..., 0]).tolist()]
    full = distorted(np.ones((28, 28, 1)), Distortions(shift=1), kind, small.FORM)
    assert (28 - abs(expected[0] - 5)) * (28 - abs(expected[1] - 10)) == full.sum()


@pytest.mark.parametrize(("kind", "expected"), [(0, (0, 3)), (4, (1, 4)), (6, (2, 3))])
def test_channels_stay_together(kind, expected):
    """In a wide image of three channels, all values of a pixel are moved to the same place."""
    form = Form((3, 6, 3), ("a", "b"))
    image = np.zeros(form.shape, np.float32)
    image[1, 4] = [0.25, 0.5, 0.75]
    moved = distorted(image, Distortions(shift=1), kind, form)
    assert [0.25, 0.5, 0.75] == moved[expected].tolist()
    assert 3 == np.count_nonzero(moved)


def test_an_image_is_turned_about_its_centre():
    """A quarter turn to either side is what NumPy's is; the kinds between are half of it and none."""
    image = np.arange(81, dtype=np.float32).reshape(9, 9, 1)
    quarter = Distortions(turn=90.0)
    assert 5 == quarter.kinds
    assert {0: 1, 2: 0, 4: 3} == {
        kind: turns
        for kind in (0, 2, 4)
        for turns in range(4)
        if np.array_equal(np.rot90(image, turns), distorted(image, quarter, kind, GREY))
    }


def test_an_image_is_stretched_and_slanted():
    """A size of 2 shows the inner half; a slant of 1 moves each row by its distance from the middle."""
    image = np.zeros((9, 9, 1), np.float32)
    image[:, 4] = 1.0
    wide = distorted(image, Distortions(stretch=0.5), 2, GREY)
    assert 2 >= np.ptp(np.argwhere(wide[4, :, 0])) >= 0
    assert wide.sum() > distorted(image, Distortions(stretch=0.5), 0, GREY).sum()
    slanted = distorted(image, Distortions(slant=1.0), 2, GREY)[..., 0]
    np.testing.assert_array_equal(np.eye(9)[::-1], slanted)


def test_all_combinations_are_there():
    """Steps multiply; what is not asked for has one."""
    assert 1 == Distortions().kinds
    assert 9 * 5 * 3 * 3 == Distortions(shift=1, turn=10.0, stretch=0.07, slant=0.1).kinds
    np.testing.assert_array_equal(np.arange(784)[None], Distortions().tables(small.FORM))
