"""The page: whole, alone, the same each time, and safe from whatever a recipe, a label or a reason holds."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tasks.data.arrays import Split
from tasks.report import page
from tasks.versions.tree import ERROR, Fault
from tests.report.versions import IMAGES, LABELS, compared, seen

TEST = Split(IMAGES.reshape(-1, 784), LABELS)
SECTIONS = ["versions", "recipes", "curves", "behind", "reliability", "cost", "history", "origins"]
VOID = {"meta", "link", "br", "img"}
EVIL = '<script>alert("1")</script>'
MOVE = {
    "when": "2026-11-24T12:56:43.974784+00:00",
    "label": "stable",
    "before": None,
    "after": 2,
    "why": "",
    "task": "",
}


def render(*versions, moves=(), base_path="/models/mnist", faults=(), config_path=Path("/models/models.config")):
    found = compared(*versions, faults=faults)
    object.__setattr__(found, "base_path", base_path)
    return page.render(found, versions, TEST, moves, config_path=config_path, shape=(28, 28, 1))


class Read(HTMLParser):
    """A page as a browser takes it: elements that are all closed, their text, and what they would load."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.addresses, self.tags, self.text = [], [], [], [], []
        self.feed(text)
        assert [] == self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        attributes = dict(attrs)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.addresses += [value for name, value in attrs if name in {"src", "href", "xlink:href"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert tag == self.open.pop()

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(" ".join(data.split()))


@pytest.fixture(scope="module")
def versions():
    """A stable version, a newest that differs from it, an old one, one that is damaged, one that was taken back."""
    curve = ((100, 0.8), (300, 0.4))
    export = {"started": "2026-11-24T12:55:01.123+00:00", "seconds": 0.41, "host": "here"}
    return (
        seen(1, range(40), recipe={"seed": 3}, made_elsewhere=True),
        seen(2, range(30), labels=["stable"], is_loaded=True, curve=curve, training_seconds=1.5, export=export),
        seen(3, measured=False, faults=[Fault("3", ERROR, "saved_model.pb is missing")]),
        seen(4, name="4.denied", is_quarantined=True),
        seen(5, range(20, 50), recipe={"model": "cnn"}, curve=curve),
    )


def test_every_section_is_there_in_order(versions):
    """Elements are closed, no id is there twice, and each link within the page leads somewhere."""
    read = Read(render(*versions, moves=[MOVE]))
    assert SECTIONS == [name for name in read.ids if name in SECTIONS]
    assert len(read.ids) == len(set(read.ids))
    links = {address[1:] for address in read.addresses if address.startswith("#")}
    assert links <= set(read.ids)


def test_it_needs_nothing_else(versions):
    """No script, and nothing is fetched: pictures are within it."""
    text = render(*versions, moves=[MOVE])
    read = Read(text)
    assert "script" not in read.tags
    assert [] == [address for address in read.addresses if not address.startswith(("#", "data:"))]
    assert [] == re.findall(r"@import|url\((?!#)|https?://(?!www\.w3\.org/)", text)


def test_the_same_versions_give_the_same_bytes(versions):
    """Nothing of the moment is in it."""
    assert render(*versions, moves=[MOVE]) == render(*versions, moves=[MOVE])


def test_what_is_known_is_told(versions):
    """The title, who is damaged and how, mistakes with both answers, the history, the commands."""
    text = Read(render(*versions, moves=[MOVE], faults=[Fault("7", ERROR, "is a file")])).text
    joined = " ".join(part for part in text if part)
    assert "Version 5 and version 2 (stable) cannot be told apart" in text
    assert "saved_model.pb is missing" in text
    assert "7: is a file" in text
    assert "30 of 200 wrong" in text
    assert "20 right there, 20 the other way round" in text
    assert "The 12 of which the wrong one was most sure, of 20." in text
    assert "2026-11-24 12:56 UTC stable → 2" in joined
    assert "2026-11-24 12:55 UTC on here" in text
    assert "PromoteVersion --label stable --version 5" in joined
    assert "mv /models/mnist/4.denied /models/mnist/4" in text
    assert "The work directory has no curve of 1, 3, 4 (quarantined)." in text


def test_pictures_have_a_text(versions):
    """Each image of a digit and each drawing says what it shows."""
    text = render(*versions)
    assert 'alt="test image 0, a 0"' in text
    assert [] == re.findall(r"<img(?![^>]*\balt=\"[^\"]+\")[^>]*>", text)
    assert [] == re.findall(r"<svg(?![^>]*\baria-label=\"[^\"]+\")[^>]*>", text)


def test_text_that_would_be_html_is_shown_as_it_is():
    """In a recipe, its keys, a label, a reason, a fault, a folder and the base path."""
    found = Fault("1", ERROR, f"{EVIL} is missing")
    versions = [
        seen(1, recipe={"model": EVIL, EVIL: 1}, labels=["stable", EVIL], faults=[found], export={}),
        seen(2, [1], export={"started": EVIL, "host": EVIL, "seconds": 1.0}),
    ]
    moves = [{**MOVE, "why": EVIL, "label": EVIL, "task": EVIL, "when": EVIL}]
    text = render(*versions, moves=moves, base_path=f"/models/{EVIL}", config_path=Path(f"/{EVIL}/c"), faults=[found])
    read = Read(text)
    assert "script" not in read.tags
    assert EVIL not in text
    assert 8 <= sum(EVIL in part for part in read.text)


def test_a_base_path_with_a_space_is_quoted_in_commands():
    """The commands work when pasted."""
    text = " ".join(Read(render(seen(1), base_path="/my models/a'b")).text)
    assert "--base-path '/my models/a'\"'\"'b'" in text
    assert "--model_name='a'\"'\"'b' \\ --model_base_path='/my models/a'\"'\"'b'" in text


@pytest.mark.parametrize(
    "versions", [(seen(1, measured=False),), (seen(1, name="1.denied", is_quarantined=True),), (seen(1), seen(2))]
)
def test_little_is_enough(versions):
    """One version that cannot be asked, one that was taken back, two that are the same: the page is whole."""
    read = Read(render(*versions))
    assert SECTIONS == [name for name in read.ids if name in SECTIONS]


def test_sixty_versions():
    """The page stays below 2 MB, and names the two curves that matter alone."""
    curve = ((100, 0.8), (300, 0.4))
    versions = [seen(n, range(n % 50, n % 50 + 50), curve=curve) for n in range(1, 60)]
    text = render(*versions, seen(60, labels=["stable"], curve=curve))
    assert len(text) < 2_000_000
    assert 60 == len(re.findall(r'<tr class="[^"]*">\s*<th scope="row"><span class="version"><a', text))


@pytest.mark.parametrize(
    ("value", "told"), [(812, "812 B"), (31_400, "31.4 KB"), (1_350_000, "1.35 MB"), (2.5e9, "2.5 GB")]
)
def test_sizes(value, told):
    """With three digits."""
    assert told == page._bytes(value)


@pytest.mark.parametrize(
    ("value", "told"), [(0.00007, "0.07 ms"), (0.0221, "22.1 ms"), (0.41, "0.4 s"), (12.21, "12.2 s"), (300, "5.0 min")]
)
def test_durations(value, told):
    """In the unit that fits."""
    assert told == page._duration(value)
