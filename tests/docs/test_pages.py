"""The documentation as text: its length, its links, and the rooms as they are checked."""

import configparser
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.docs.pages import NAMES, PAGES, blocks

LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")


def _anchors(path):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(
        r"^#+ (.*)$", re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_short():
    """The README has at most 200 lines; the rest is in docs/."""
    assert 200 >= len((ROOT / "README.md").read_text().splitlines())


def test_every_page_is_in_the_readme():
    """The table of the documentation names each page."""
    text = (ROOT / "README.md").read_text()
    assert [] == [name for name in NAMES if name.startswith("docs/") and f"]({name})" not in text]


@pytest.mark.parametrize("name", [*NAMES, "CHANGELOG.md", "SECURITY.md"])
def test_relative_links_lead_somewhere(name):
    """Each relative link names a file that is there, and a heading in it."""
    broken = []
    for target in LINK.findall((ROOT / name).read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / name).parent / file if file else ROOT / name
        if not path.exists() or (anchor and anchor not in _anchors(path)):
            broken.append(target)
    assert [] == broken


def test_pictures_are_small_told_in_words_and_used():
    """Each picture has a text for those who do not see it, and less than 150 KB; no file is left over."""
    found = [(path.parent / file, text) for path in PAGES for text, file in PICTURE.findall(path.read_text())]
    assert [] == [file for file, text in found if len(text) < 40 or file.stat().st_size >= 150_000]
    assert {file.resolve() for file, _ in found} == set((ROOT / "docs" / "images").iterdir())


def test_the_rooms_are_those_that_are_checked():
    """docs/design.md shows the layers of import-linter's contract, and has a row for each room."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    layers = config["importlinter:contract:rooms"]["layers"].strip()
    assert [layers] == [block.text.strip() for block in blocks("docs/design.md") if block.mark == "layers"]
    text = (ROOT / "docs" / "design.md").read_text()
    rooms = [room.strip().replace(".", "/") for line in layers.splitlines() for room in line.split("|")]
    assert [] == [room for room in rooms if f"| `{room}/`" not in text and f"| `{room}.py`" not in text]


def test_every_dependency_has_a_reason():
    """docs/design.md names each package that setup.cfg asks for."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    extras = config["options.extras_require"]
    parts = [config["options"]["install_requires"], *(extras.get(name, raw=True) for name in extras)]
    lines = "\n".join(parts)
    packages = re.findall(r"^\s*([\w-]+)", lines, re.MULTILINE)
    table = (ROOT / "docs" / "design.md").read_text().partition("## Dependencies")[2]
    assert [] == [name for name in packages if not re.search(rf"\b{name}\b", table)]


def test_ci_leaves_no_test_out():
    """What `.ci/run` adds to pytest's options has the last word on markers."""
    (addition,) = re.findall(r"^export PYTEST_ADDOPTS=.*$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "--no-cov"]
    shell = ["bash", "-c", f'{addition}; exec "$@"', "bash", *collect, "tests/jobs/test_resuming.py"]
    result = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "1 test collected" in result.stdout, result.stdout + result.stderr
