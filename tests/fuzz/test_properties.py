"""What holds of every parser, whatever it is given; `tests.fuzz.readers` says what holds of each reader of a file."""

import gzip
import json
import tempfile
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import quiet_tensorflow  # isort: skip - before anything else imports TensorFlow
from tasks.data.idx import format_idx, parse_idx
from tasks.errors import InvalidArchive, InvalidParameter, PipelineError
from tasks.recipes.recipe import KEYS
from tasks.serving.release_log import Move
from tasks.serving.servers import find_servers
from tasks.storage.json_text import parse_json
from tasks.storage.object_store import absolute_folder, parse_url
from tasks.versions.golden import rows_of, score_difference
from tasks.versions.manifest import Manifest, read_manifest, write_manifest
from tasks.versions.numbers import LARGEST_VERSION, format_versions, parse_version, parse_versions
from tests.fuzz.readers import READERS
from tests.fuzz.seeds import MANIFEST, RECIPE, seeds
from tests.small import make_recipe

__all__ = ["quiet_tensorflow"]

BOUNDED = settings(
    max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
TEXT = st.text(max_size=40)
ANYTHING = st.one_of(
    TEXT, st.integers(), st.floats(), st.none(), st.binary(max_size=9), st.lists(st.none(), max_size=2)
)
VERSIONS = st.lists(st.integers(1, LARGEST_VERSION) | st.integers(1, 30), min_size=1, max_size=40, unique=True)


@pytest.mark.parametrize("name", READERS)
@BOUNDED
@given(data=st.data())
def test_any_bytes_are_told_or_read(name, data):
    """Rubbish, and a good content with a part of it replaced by rubbish: documented errors alone."""
    good, rubbish = (
        seeds()[name],
        data.draw(st.binary(max_size=60) | TEXT.map(lambda text: text.encode(errors="replace"))),
    )
    start = data.draw(st.integers(0, len(good)))
    stop = data.draw(st.integers(start, min(len(good), start + 60)))
    for content in (rubbish, good[:start] + rubbish + good[stop:]):
        with tempfile.TemporaryDirectory() as folder:
            READERS[name](content, Path(folder))


@BOUNDED
@given(
    shape=st.lists(st.integers(1, 5), min_size=0, max_size=3),
    count=st.integers(0, 5),
    fill=st.randoms(use_true_random=False),
)
def test_idx_comes_back(shape, count, fill):
    """Any array, gzipped or not; and never a byte short or a byte longer."""
    values = np.array([fill.randrange(256) for _ in range(count * int(np.prod(shape)))], np.uint8).reshape(
        count, *shape
    )
    content = format_idx(values)
    for packed in (content, gzip.compress(content)):
        found = parse_idx(packed, dimensions=values.ndim, source="x")
        assert (values.shape, values.tobytes()) == (found.shape, found.tobytes())
    for changed in (content[:-1], content + b"\0"):
        with pytest.raises(InvalidArchive, match=r"^x: "):
            parse_idx(changed, dimensions=values.ndim, source="x")


@BOUNDED
@given(versions=VERSIONS)
def test_sets_of_versions_come_back(versions):
    """Written with ranges and read again, they are the same, sorted."""
    text = format_versions(sorted(versions))
    assert tuple(sorted(versions)) == parse_versions(text)
    assert text == format_versions(parse_versions(text))


@BOUNDED
@given(text=st.text(alphabet="0123456789-, ", max_size=30) | TEXT)
def test_any_text_is_a_set_of_versions_or_refused(text):
    """What is read can be written and read again."""
    try:
        versions = parse_versions(text)
    except InvalidParameter:
        return
    assert versions == parse_versions(format_versions(versions))
    assert all(parse_version(str(version)) == version for version in versions[:9])


@pytest.mark.parametrize("name", KEYS)
@BOUNDED
@given(value=ANYTHING | st.text(alphabet="0123456789.e+-_ ", max_size=25))
def test_any_value_of_a_recipe_is_checked(name, value):
    """What passes a check passes again, as a value and as its text; the rest is refused with what is allowed."""
    check = KEYS[name].check
    try:
        found = check.check_value(name, value)
    except InvalidParameter:
        return
    assert found == check.check_value(name, found) == check.check_value(name, str(found))


@BOUNDED
@given(text=TEXT | st.from_regex(r"(s3|gs|file)://[a-z/.~]{0,20}", fullmatch=True))
def test_any_text_is_a_place_or_refused(text):
    """What is written the one way is written the same way again."""
    for parse in (parse_url, lambda given: absolute_folder("folder", given)):
        try:
            found = parse(text)
        except InvalidParameter:
            continue
        assert found == parse(found)


@BOUNDED
@given(text=TEXT | st.from_regex(r"(https?://)?[a-z0-9.\[\]:-]{1,20}(:[0-9]{1,6})?", fullmatch=True))
def test_any_text_is_a_server_or_refused(text):
    """Before anybody is asked."""
    try:
        (server,) = find_servers([text])
    except InvalidParameter:
        return
    assert text.rstrip("/") == server.address.rstrip("/")


@BOUNDED
@given(
    ends=st.tuples(st.none() | st.integers(1, LARGEST_VERSION), st.none() | st.integers(1, LARGEST_VERSION)),
    texts=st.lists(st.text(st.characters(exclude_characters="\0"), max_size=20), min_size=5, max_size=5),
    label=st.none() | st.text("abc_", min_size=1, max_size=5),
    when=st.datetimes(min_value=datetime(2000, 1, 1)),  # noqa: DTZ001 - as hypothesis wants it
)
def test_a_move_comes_back(ends, texts, label, when):
    """Whatever its texts hold, it is one line, and read as it was."""
    why, task, model, base_path, name = texts
    about = {"why": why, "task": task, "model": model, "base_path": base_path, "config": f"x{name.replace('/', '')}"}
    move = Move(when=f"{when.isoformat()}+00:00", label=label, before=ends[0], after=ends[1], **about)
    assert "\n" not in move.as_line()
    assert move == Move.from_line(move.as_line())


@BOUNDED
@given(
    number=st.integers(1, LARGEST_VERSION),
    accuracy=st.floats(0, 1),
    files=st.dictionaries(st.from_regex(r"[a-z]{1,9}", fullmatch=True), st.integers(0, 2**40), max_size=5),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_manifest_comes_back(number, accuracy, files, seed):
    """What is written is read as it was, and differs from what is asked for in what was changed alone."""
    made = Manifest(
        number,
        {**RECIPE, "seed": seed},
        MANIFEST.dataset_checksums,
        {"validation": {"accuracy": accuracy}},
        MANIFEST.signatures,
        {name: {"bytes": size, "sha256": "0" * 64} for name, size in files.items()},
        MANIFEST.made_with,
    )
    with tempfile.TemporaryDirectory() as folder:
        write_manifest(Path(folder), made)
        assert made == read_manifest(Path(folder))
    assert ({"seed": (seed, 0)} if seed else {}) == made.differences(make_recipe())


@BOUNDED
@given(
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63) + 1, 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=9,
    )
)
def test_json_comes_back(value):
    """Whatever can be said in it, numbers that fit included."""
    assert value == parse_json(json.dumps(value))


@BOUNDED
@given(rows=st.lists(st.lists(st.floats(0, 1), min_size=2, max_size=4), min_size=1, max_size=3))
def test_golden_rows_differ_from_themselves_by_nothing(rows):
    """As the REST interface writes them; another number of images or classes is another answer."""
    found = rows_of({"predictions": rows})
    assert 0 == score_difference(found, found)
    assert score_difference(found, [*found, {}]) == float("inf")


@BOUNDED
@given(answer=ANYTHING | st.dictionaries(TEXT | st.sampled_from(["predictions", "results"]), ANYTHING, max_size=3))
def test_any_answer_has_scores_or_is_refused(answer):
    """A server may answer anything that JSON can say."""
    try:
        rows = rows_of(answer)
    except (ValueError, PipelineError):
        return
    assert all(isinstance(score, float) for row in rows for score in row.values())
