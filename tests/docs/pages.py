"""The pages of the documentation, and the blocks of code in them."""

import re
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from tests.conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]
BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A block of code: its language, what is in it, and what the comment above it says."""

    language: str
    text: str
    mark: str


def blocks(name: str) -> list[Block]:
    """The blocks of a page, in their order."""
    found = BLOCK.finditer((ROOT / name).read_text(encoding="utf-8"))
    return [Block(match["language"], match["text"], match["mark"] or "") for match in found]


def quoted(name: str, header: str) -> list[str]:
    """What stands in backticks in the column with that heading, in any table of a page."""
    found, column = [], None
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        cells = line.strip("| ").split(" | ")
        if not line.startswith("|"):
            column = None
        elif header in cells:
            column = cells.index(header)
        elif column is not None:
            found += re.findall(r"`([^`]+)`", cells[column])
    return found


def table(path: Path, header: str) -> list[str]:
    """The rows below the line `header` of a page; an error if there is no such line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    start = lines.index(header) + 2
    return list(takewhile(lambda line: line.startswith("|"), lines[start:]))
