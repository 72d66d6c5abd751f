"""The pages of the documentation, and the blocks of code in them."""

import re
from dataclasses import dataclass

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


def shown_messages(name: str, header: str) -> list[str]:
    """What stands in backticks in the last column of the table with that last heading."""
    text = (ROOT / name).read_text(encoding="utf-8")
    tables = re.findall(rf"^\|[^\n]* {re.escape(header)} \|\n\| ---[^\n]*\n((?:\|[^\n]*\n)+)", text, re.MULTILINE)
    rows = [row.strip("| ").split(" | ") for table in tables for row in table.splitlines()]
    return [message for row in rows for message in re.findall(r"`([^`]+)`", row[-1])]
