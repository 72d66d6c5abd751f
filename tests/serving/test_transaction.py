"""The config file and the log beside it: which versions are loaded, what is kept, what is refused."""

import pytest

from tasks.errors import InvalidServingConfig, ReleaseRefused
from tasks.serving import quarantine, retirement
from tasks.serving.config_file import find_model, read_config
from tasks.serving.transaction import FOUND
from tests.serving.conftest import loaded, promote, roll_back, serve


def test_labelled_and_newest_versions_are_loaded(served):
    """The policy names every version with a label, where it came from, and the newest, and no other."""
    promote(served, "stable", 1)
    assert [1, 3, 4] == loaded(served)
    promote(served, "stable", 2)
    assert [1, 2, 4] == loaded(served)


def test_nothing_but_versions_with_a_label_is_loaded_if_asked_for(base_path, config_path):
    """With keep_loaded 0 the policy names labelled versions alone."""
    served = serve(config_path, base_path, keep_loaded=0)
    promote(served, "stable", 1)
    assert [1] == loaded(served)


def test_a_folder_without_a_model_is_not_loaded(served):
    """A folder with a number for a name but no SavedModel is not put on the policy for being new."""
    (served.base_path / "5").mkdir()
    promote(served, "stable", 1)
    assert [1, 3, 4] == loaded(served)


def test_a_damaged_version_is_not_loaded_for_being_new(served, caplog):
    """The newest version is damaged: an older one takes its place, so that a server can start; the log says why."""
    (served.base_path / "4" / "variables" / "variables.index").write_bytes(b"")
    with caplog.at_level("WARNING", "tasks"):
        promote(served, "stable", 1)
    assert [1, 2, 3] == loaded(served)
    (said,) = {record.getMessage() for record in caplog.records}
    assert said.startswith("Version 4 is not put on the policy without a label: ")
    assert "variables/variables.index has 0 bytes" in said


def test_a_damaged_version_that_was_listed_leaves_the_policy(base_path, config_path):
    """What a promotion listed before it was damaged is taken off by the next one."""
    promote(serve(config_path, base_path), "stable", 1)
    (base_path / "4" / "saved_model.pb").write_bytes(b"")
    served = serve(config_path, base_path)
    promote(served, "stable", 2)
    assert [1, 2, 3] == loaded(served)


def test_each_version_is_judged_once(base_path, config_path):
    """A promotion asks once about the version and the newest ones, however often it looks at the file."""
    asked = []
    served = serve(config_path, base_path, verdict=asked.append)
    promote(served, "stable", 1)
    assert [1, 3, 4] == sorted(asked)


def test_what_a_person_added_stays(served):
    """Other models, other fields and a policy that loads everything survive a promotion."""
    served.config_path.write_text(
        f"""model_config_list {{
          config {{ name: "mnist" base_path: "{served.base_path}" model_platform: "tensorflow"
            model_version_policy {{ all {{ }} }} logging_config {{ sampling_config {{ sampling_rate: 0.5 }} }} }}
          config {{ name: "other" base_path: "/other" version_labels {{ key: "stable" value: 9 }} }}
        }}"""
    )
    before = read_config(served.config_path)
    promote(served, "stable", 2)
    after = read_config(served.config_path)
    assert 2 == find_model(after, served.base_path).version_labels.pop("stable")
    assert before == after
    assert not list(served.config_path.parent.glob("*.by-hand"))


def test_two_models_share_a_file_and_a_log(served, base_path, config_path):
    """Each has its labels and its history."""
    other = serve(config_path, base_path.rename(base_path.with_name("other")), "other")
    other_tree = other.base_path
    served.base_path.mkdir()
    (other_tree / "1").rename(served.base_path / "1")
    promote(served, "stable", 1)
    promote(other, "stable", 3)
    assert ({"stable": 1}, {"stable": 3}) == (served.labels(), other.labels())
    assert [1] == [move.after for move in served.history()]


def test_a_label_that_was_moved_by_hand_gets_its_line(served):
    """The log follows what it finds in the file, so that a roll-back leads to where the label really was."""
    promote(served, "stable", 1)
    text = served.config_path.read_text()
    served.config_path.write_text(text.replace("value: 1", "value: 2"))
    promote(served, "stable", 3)
    history = [(move.before, move.after, move.why) for move in served.history()]
    assert [(None, 1, ""), (1, 2, FOUND), (2, 3, "")] == history
    roll_back(served, "stable")
    assert {"stable": 2} == served.labels()


def test_what_is_refused_leaves_no_line_of_what_was_changed_by_hand(served):
    """A label that was set by hand gets its line with the next change, not with a command that changes nothing."""
    served.config_path.write_text(
        f'model_config_list {{ config {{ name: "mnist" base_path: "{served.base_path}" '
        'version_labels { key: "stable" value: 4 } } }'
    )
    with pytest.raises(ReleaseRefused):
        quarantine.quarantine(served, 4, force=False, why="")
    retirement.retire(served, 1, apply=False, why="")
    assert not served.log.path.exists()
    retirement.retire(served, 3, apply=True, why="")
    assert [("stable", None, 4), (None, 1, None)] == [(m.label, m.before, m.after) for m in served.history()]


def test_two_models_are_served_from_one_folder(served):
    """Each is found by its name; one that is not there is not taken for the other."""
    entry = f'config {{ name: "%s" base_path: "{served.base_path}" }}'
    served.config_path.write_text(f"model_config_list {{ {entry % 'a'} {entry % 'b'} }}")
    a, b, c = (serve(served.config_path, served.base_path, name) for name in "abc")
    promote(b, "stable", 2)
    assert ({}, {"stable": 2}) == (a.labels(), b.labels())
    assert {} == c.labels()
    with pytest.raises(InvalidServingConfig, match="is served as model 'a'"):
        promote(c, "stable", 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('model_config_list {\n  config {\n    nam: "mnist"\n', "line 3"),
        ("model_config_list {", "line 1"),
        ('custom_model_config { type_url: "x" }', "custom_model_config"),
        ('model_config_list { config { name: "mnist" base_path: "/another" } }', "base path /another"),
        ('model_config_list { config { name: "other" base_path: "BASE" } }', "served as model 'other'"),
        ("\udcff", "cannot be read"),
    ],
)
def test_a_config_that_is_none_is_left_alone(served, text, said):
    """One line that names the file and what is wrong; the bytes stay."""
    content = text.replace("BASE", str(served.base_path)).encode(errors="surrogateescape")
    served.config_path.write_bytes(content)
    with pytest.raises(InvalidServingConfig, match=r"models\.config") as raised:
        promote(served, "stable", 1)
    assert said in str(raised.value)
    assert 1 == len(str(raised.value).splitlines())
    assert content == served.config_path.read_bytes()
