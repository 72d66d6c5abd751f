"""What a policy loads of a tree, by the server's rules."""

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from tasks.serving import policy


def make_policy(text):
    return text_format.Parse(text, model_server_config_pb2.ModelConfig()).model_version_policy


@pytest.mark.parametrize(
    ("text", "loaded"),
    [
        ("", {4}),
        ("model_version_policy { latest { } }", {4}),
        ("model_version_policy { latest { num_versions: 2 } }", {2, 4}),
        ("model_version_policy { latest { num_versions: 9 } }", {1, 2, 4}),
        ("model_version_policy { all { } }", {1, 2, 4}),
        ("model_version_policy { specific { versions: 1 versions: 7 } }", {1, 7}),
    ],
)
def test_a_policy_says_what_is_loaded(text, loaded):
    """The newest without a policy, and whatever is listed, be it there or not."""
    assert loaded == policy.loaded_versions(make_policy(text), [1, 2, 4])


def test_an_empty_tree_has_nothing_to_load():
    """No policy finds a version where none is."""
    assert set() == policy.loaded_versions(make_policy(""), [])


def test_versions_are_listed_in_order():
    """Whatever the policy said before, it lists exactly the versions that are asked for."""
    changed = make_policy("model_version_policy { latest { num_versions: 2 } }")
    policy.load(changed, {3, 1})
    assert [1, 3] == list(changed.specific.versions)
    assert "specific" == changed.WhichOneof("policy_choice")


def test_a_policy_of_all_versions_stays():
    """Whoever loads all of them needs no list."""
    changed = make_policy("model_version_policy { all { } }")
    policy.load(changed, {1})
    assert "all" == changed.WhichOneof("policy_choice")


def test_older_versions_take_the_place_of_those_that_are_not_fit():
    """The newest fit ones, and no more are judged than are needed."""
    judged = []

    def is_fit(version):
        judged.append(version)
        return version != 4

    assert [5, 3] == policy.newest_fit([1, 2, 3, 4, 5], 2, is_fit)
    assert [5, 4, 3] == judged
    assert [] == policy.newest_fit([1, 2], 0, is_fit)
