"""What a policy loads, and what it should; nothing is read here."""

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from tasks.serving.policy import kept_loaded, load, loaded_versions


def parse(text):
    config = text_format.Parse(f"model_version_policy {{ {text} }}", model_server_config_pb2.ModelConfig())
    return config.model_version_policy


@pytest.mark.parametrize(
    ("text", "loaded"),
    [
        ("", {4}),
        ("latest { }", {4}),
        ("latest { num_versions: 0 }", {4}),
        ("latest { num_versions: 2 }", {3, 4}),
        ("latest { num_versions: 9 }", {1, 2, 3, 4}),
        ("all { }", {1, 2, 3, 4}),
        ("specific { versions: 1 versions: 9 }", {1, 9}),
    ],
)
def test_a_policy_loads_what_the_server_would(text, loaded):
    """The newest by default; versions that are named also where they are not in the tree."""
    assert loaded == loaded_versions(parse(text), [1, 2, 3, 4])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "specific { versions: 1 versions: 2 }"),
        ("latest { num_versions: 3 }", "specific { versions: 1 versions: 2 }"),
        ("specific { versions: 7 }", "specific { versions: 1 versions: 2 }"),
        ("all { }", "all { }"),
    ],
)
def test_versions_are_named_in_order(before, after):
    """A policy of all versions loads them already, and stays."""
    policy = parse(before)
    load(policy, {2, 1})
    assert parse(after) == policy


def test_older_versions_take_the_place_of_unfit_ones():
    """The newest are asked first, and no more than needed."""
    asked = []

    def is_fit(version):
        asked.append(version)
        return version != 4

    assert {5, 3} == kept_loaded((), [1, 2, 3, 4, 5], 2, is_fit)
    assert [5, 4, 3] == asked
    assert set() == kept_loaded((), [1, 2], 0, is_fit)
    assert {2, 1} == kept_loaded((), [1, 2], 3, is_fit)


@pytest.mark.parametrize(
    ("came_from", "count", "kept"),
    [({1}, 2, {1, 5}), ({1, 2}, 1, {1, 2}), ({1}, 0, set()), ({5}, 2, {5}), ({4, 9}, 2, {5, 3})],
)
def test_where_labels_came_from_is_kept_first(came_from, count, kept):
    """All of it, however few are to be kept, but for 0 and for what is gone or unfit; the newest where room is left."""
    assert kept == kept_loaded(came_from, [1, 2, 3, 4, 5], count, lambda version: version != 4)
