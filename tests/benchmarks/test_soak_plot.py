"""The picture of a soak."""

import re
from xml.etree import ElementTree as ET

import pytest

from benchmarks.soak.samples import MIB, Sample

NAMES = ("luigid", "watcher", "resident", "its nursery", "its engines")
pytest.importorskip("matplotlib", reason="the extra report is not installed")


@pytest.fixture
def samples():
    """An hour of five processes whose open files swing."""
    return [
        Sample(second, name, (100 + 100 * number) * MIB, 5 + (second * 7 + number) % 20)
        for second in range(5, 3600, 5)
        for number, name in enumerate(NAMES)
    ]


def test_the_same_samples_give_the_same_bytes(samples, tmp_path):
    """No date, no random name."""
    from benchmarks.soak.plot import draw

    draw(samples, tmp_path / "one.svg")
    draw(samples, tmp_path / "two.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_each_process_is_named_beside_both_of_its_lines(samples, tmp_path):
    """In a picture that is small enough for docs/images."""
    from benchmarks.soak.plot import draw

    draw(samples, tmp_path / "soak.svg")
    content = (tmp_path / "soak.svg").read_text()
    assert "svg" in ET.fromstring(content).tag
    assert [2] * len(NAMES) == [len(re.findall(rf">{name}<", content)) for name in NAMES]
    assert 150_000 > len(content)
