"""Pictures: well-formed, the same bytes each time, in the page's colours, and described."""

import base64
import io
import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import PIL.Image
import pytest

from tasks.report.details import Bin
from tasks.report.pictures import Line, draw_curves, draw_image, draw_reliability
from tests.report.versions import IMAGES

LINES = [
    Line("1", [(100, 0.9), (200, 0.5), (300, 0.4)]),
    Line("2", [(100, 0.8), (300, 0.39)], is_held=True),
    Line("10", [(100, 0.5), (300, 0.2)], is_newest=True),
]
BINS = [Bin(0.55, 1, 3), Bin(0.95, 97, 100)]


def curves(width=600, alternative="the loss of 1 < 2"):
    return draw_curves(LINES, width=width, height=300, alternative=alternative)


PICTURES = {"curves": curves, "reliability": lambda: draw_reliability(BINS, side=190, alternative="a & b")}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_described_and_brings_no_colour_of_its_own(name):
    """An image with a name for whoever cannot see it; its colours are the page's, its font too, and it has no date."""
    text = PICTURES[name]()
    root = ET.fromstring(text)
    assert "img" == root.attrib["role"]
    assert root.attrib["aria-label"] in {"the loss of 1 < 2", "a & b"}
    assert [] == re.findall(r"#[0-9a-f]{6}|font-family|metadata|<style|<!--", text)
    assert {"var(--soft)", "var(--line)"} <= set(re.findall(r"var\(--\w+\)", text))


@pytest.mark.parametrize("name", PICTURES)
def test_the_same_values_give_the_same_bytes(name):
    """Whatever was drawn before, and whatever matplotlib was told."""
    first = PICTURES[name]()
    mpl.rcParams["lines.linewidth"] = 9.0
    try:
        assert first == PICTURES[name]()
        assert 9.0 == mpl.rcParams["lines.linewidth"]
    finally:
        mpl.rcdefaults()


def test_no_two_pictures_share_an_id():
    """A page may hold the same curves in two sizes."""
    ids = [
        set(re.findall(r'\bid="([^"]+)"', text)) for text in (curves(), curves(width=358), PICTURES["reliability"]())
    ]
    assert all(ids)
    assert sum(map(len, ids)) == len(set.union(*ids))


def test_curves_are_named_where_they_end():
    """Each has its name beside it; of many, only the newest and the one that is held against."""
    names = [element.text for element in ET.fromstring(curves()).iter("{http://www.w3.org/2000/svg}text")]
    assert {"1", "2", "10", "iterations", "0.3"} <= set(names)
    many = [*LINES, *(Line(f"more {n}", [(100, 0.5), (300, 0.3 + n / 100)]) for n in range(20))]
    text = draw_curves(many, width=600, height=300, alternative="")
    assert "more" not in text
    assert ">10<" in text


def test_a_loss_of_zero_is_drawn():
    """A loss so small that it is none does not stop the picture."""
    text = draw_curves([Line("1", [(1, 0.0), (2, 0.0)])], width=358, height=300, alternative="")
    assert "nan" not in text.lower()


def decoded(address):
    kind, _, content = address.partition(",")
    assert "data:image/png;base64" == kind
    return np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(content))))


def test_a_grey_image_is_a_png():
    """Dark on light in sixteen shades, read again by somebody else's code."""
    image = IMAGES[3].reshape(784)
    address = draw_image(image, (28, 28, 1))
    np.testing.assert_array_equal((15 - (image.reshape(28, 28) >> 4)) * 17, decoded(address))
    assert len(address) < 800


def test_a_colour_image_is_a_png():
    """As it is, whatever its height and width; with four channels it is grey."""
    image = np.random.RandomState(0).randint(0, 256, 5 * 3 * 3).astype(np.uint8)
    np.testing.assert_array_equal(image.reshape(5, 3, 3), decoded(draw_image(image, (5, 3, 3))))
    assert (3, 3) == decoded(draw_image(image[:36], (3, 3, 4))).shape
