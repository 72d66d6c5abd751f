"""Readers of files that others may have written or damaged: documented errors, or a value that can be used."""

from pathlib import Path

import pytest

from tests import quiet_tensorflow  # isort: skip - before anything else imports TensorFlow
from tests.fuzz.readers import READERS
from tests.fuzz.seeds import hostile, seeds

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*/*"))

__all__ = ["quiet_tensorflow"]


@pytest.mark.parametrize("name", READERS)
def test_a_good_content_is_read(name, tmp_path):
    """What the hostile contents are made of is read without any error."""
    READERS[name](seeds()[name], tmp_path)


@pytest.mark.parametrize("name", READERS)
def test_hostile_contents_are_told(name, tmp_path):
    """Cut short, changed, nested, with values of another type or size: thousands of contents, and no other error."""
    surprises = {}
    for number, content in enumerate(hostile(name)):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            READERS[name](content, folder)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not documented
            surprises.setdefault(f"{type(error).__name__}: {error}", content[:1000])
    assert {} == surprises


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: f"{path.parent.name}-{path.name[:8]}")
def test_what_the_fuzzer_found_is_told(path, tmp_path):
    """Contents that once reached new code, kept by `python -m tests.fuzz`: documented errors alone."""
    READERS[path.parent.name](path.read_bytes(), tmp_path)
