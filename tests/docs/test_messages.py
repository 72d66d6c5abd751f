"""What the documentation quotes is what the code says."""

import ast
import re

import pytest

from tests.conftest import ROOT
from tests.docs.pages import NAMES, quoted

HEADERS = ("the line (shortened)", "message", "what you see")
QUOTED = [(name, message) for name in NAMES for header in HEADERS for message in quoted(name, header)]
OF_OTHERS = [  # said by the system, Python, Luigi, TensorFlow, protobuf and gRPC
    "Connection refused",
    "Could not find SavedModel",
    "Device or resource busy",
    "No module named tasks",
    "No space left on device",
    "Read less bytes than requested",
    "Read timeout on endpoint URL",
    "corrupted record at",
    "has no field named",
    "ensurepip is not available",
    "truncated record at",
    "was not granted run permission",
]
# of the examples
VALUES = ["confg", "http", "inputs", "luigid", "mnist", "seed", "stable", "threads"]
VALUES += ["ask", "gpu", "half", "mean", "outputs", "serve", "train"]


def _texts():
    """The texts of the source, as they stand between the values in them."""
    for path in sorted((ROOT / "tasks").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield from (part.value for part in node.values if isinstance(part, ast.Constant))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
                yield node.value


PIECES = sorted({*(text.strip(" ;:,.()") for text in _texts()), *OF_OTHERS}, key=len, reverse=True)


@pytest.mark.parametrize(("name", "message"), QUOTED)
def test_a_quoted_line_is_one_of_the_code(name, message):
    """Each plain word of a quoted line stands in a text of the source, and beside the same words as there."""
    rest = message
    for piece in PIECES:
        if piece:
            rest = re.sub(rf"(?<!\w){re.escape(piece)}(?!\w)", " | ", rest)
    words = re.findall(r"(?<![\w'/.<>])[a-z]{3,}(?![\w'/.<>_])", rest)
    assert [] == [word for word in words if word not in VALUES], f"{name}: {message}"
