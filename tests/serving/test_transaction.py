"""The config file and the log beside it: what is kept, what is written, what is refused."""

import functools
import os
import shutil
import time

import pytest

from tasks.errors import InvalidReleaseLog, InvalidServingConfig, ReleaseRefused, RolloutFailed, StorageFailed
from tasks.serving import promotion, quarantine, retirement
from tasks.serving.config_file import find_model, read_config
from tasks.serving.rollout import Rollout
from tasks.serving.transaction import FOUND
from tests import disks
from tests.serving.conftest import serve


def promote(served, label, version, rollout=None, why=""):
    rollout = rollout or Rollout("mnist", (), 0.0, 0.0)
    return promotion.promote(served, label, version, rollout, why=why)


def roll_back(served, label):
    return promotion.roll_back(served, label, Rollout("mnist", (), 0.0, 0.0), why="")


def loaded(served):
    return list(find_model(read_config(served.config_path), served.base_path).model_version_policy.specific.versions)


def test_labelled_and_newest_versions_are_loaded(served):
    """The policy names every version with a label and the newest two, and no other."""
    promote(served, "stable", 1)
    assert [1, 3, 4] == loaded(served)
    promote(served, "stable", 2)
    assert [2, 3, 4] == loaded(served)


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
    assert said.startswith("Version 4 is not put on the policy for being new: ")
    assert "variables/variables.index has 0 bytes" in said


def test_a_damaged_version_is_not_loaded_while_somebody_waits(served):
    """Before the label is moved, the file lists it no more than after."""
    (served.base_path / "4" / "saved_model.pb").write_bytes(b"")

    class Watching(Rollout):
        def wait_for(self, *_, **__):
            assert [1, 2, 3] == loaded(served)

    promote(served, "stable", 1, Watching("mnist", (), 0.0))
    assert [1, 2, 3] == loaded(served)


def test_a_damaged_version_that_was_listed_leaves_the_policy(base_path, config_path):
    """What a promotion listed before it was damaged is taken off by the next one."""
    promote(serve(config_path, base_path), "stable", 1)
    (base_path / "4" / "saved_model.pb").write_bytes(b"")
    served = serve(config_path, base_path)
    promote(served, "stable", 2)
    assert [2, 3] == loaded(served)


def test_a_version_that_others_take_off_the_policy_is_listed_again(served):
    """Another promotion drops what it does not need: the one that waits starts over, and ends as it was asked to."""
    waits = []

    class Dropping(Rollout):
        def wait_for(self, *_, **__):
            waits.append(loaded(served))
            if len(waits) == 1:
                promote(served, "canary", 3)
                assert 1 not in loaded(served)

    promote(served, "stable", 1, Dropping("mnist", (), 60.0))
    assert [[1, 3, 4]] * 2 == waits
    assert ({"canary": 3, "stable": 1}, [1, 3, 4]) == (served.labels(), loaded(served))


def test_a_promotion_that_is_undone_again_and_again_gives_up(served):
    """It starts over for as long as it would wait for a server."""

    class Dropping(Rollout):
        def wait_for(self, *_, **__):
            promote(served, "canary", 3)

    with pytest.raises(RolloutFailed, match="version 1 is taken off the policy by others, again and again"):
        promote(served, "stable", 1, Dropping("mnist", (), 0.0))
    assert {"canary": 3} == served.labels()


def test_each_version_is_judged_once(base_path, config_path):
    """A promotion asks once about the version and the newest ones, however often it looks at the file."""
    asked = []
    served = serve(config_path, base_path, verdict=asked.append)
    promote(served, "stable", 1)
    assert [1, 3, 4] == sorted(asked)


def test_the_file_is_read_once_under_each_lock(served, monkeypatch):
    """A promotion looks at the config three times under the lock: what to do, the policy, the label."""
    reads = []
    monkeypatch.setattr("tasks.serving.transaction.read_config", lambda path: reads.append(path) or read_config(path))
    promote(served, "stable", 1)
    assert 3 == len(reads)


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


def test_the_file_keeps_its_mode(served):
    """Whoever could read it still can: the server, for one."""
    served.config_path.write_text("")
    served.config_path.chmod(0o664)
    promote(served, "stable", 1)
    assert 0o664 == served.config_path.stat().st_mode & 0o777


def test_a_comment_is_kept_beside_the_file(served):
    """A text with a comment is put aside before it is replaced; a '#' in a string is no comment."""
    text = '# mine\nmodel_config_list { config { name: "a#b" base_path: "/a" } }\n'
    served.config_path.write_text(text)
    promote(served, "stable", 1)
    (kept,) = served.config_path.parent.glob("models.config.*.by-hand")
    assert text == kept.read_text()
    promote(served, "stable", 2)
    assert 1 == len(list(served.config_path.parent.glob("*.by-hand")))


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


def test_what_a_killed_process_left_is_swept(served):
    """A config file that was never renamed goes with the next change, a version that was half removed with the next."""
    left = [served.config_path.parent / ".aside-models.config-0", served.base_path / ".aside-1-0"]
    for folder in left:
        folder.mkdir()
        (folder / "half").write_text("x")
    retirement.retire(served, 4, apply=True, why="")
    assert [False, False] == [folder.exists() for folder in left]


def test_rolling_back_twice_goes_back_once(served):
    """A roll-back that is asked for again, by a scheduler that retries, changes nothing."""
    for version in (1, 2, 3):
        promote(served, "stable", version)
    assert 1 == len(roll_back(served, "stable"))
    assert [] == roll_back(served, "stable")
    assert {"stable": 2} == served.labels()


def test_there_is_nothing_before_the_first_promotion(served):
    """A label that never pointed elsewhere cannot be rolled back."""
    promote(served, "stable", 1)
    with pytest.raises(ReleaseRefused, match="pointed at nothing before"):
        roll_back(served, "stable")
    assert {"stable": 1} == served.labels()


def test_a_roll_back_refuses_what_changed_while_it_waited(served):
    """Somebody else promoted meanwhile: the label stays where they put it."""
    promote(served, "stable", 1)
    promote(served, "stable", 2)

    class Promoting(Rollout):
        def wait_for(self, *_, **__):
            promote(served, "stable", 4)

    with pytest.raises(ReleaseRefused, match="was moved to 4 meanwhile"):
        promotion.roll_back(served, "stable", Promoting("mnist", (), 0.0), why="")
    assert {"stable": 4} == served.labels()


@pytest.mark.parametrize("policy", ["", "latest { num_versions: 3 }", "specific { versions: 2 }", "all { }"])
def test_a_promotion_that_fails_leaves_the_policy_as_it_was(served, policy):
    """A server that does not get the version to work: the file says what it said, and no line tells of a move."""
    choice = f"model_version_policy {{ {policy} }}" if policy else ""
    served.config_path.write_text(
        f'model_config_list {{ config {{ name: "mnist" base_path: "{served.base_path}" {choice} }} }}'
    )
    before = read_config(served.config_path)

    class Failing(Rollout):
        def wait_for(self, *_, **__):
            assert (read_config(served.config_path) != before) == (policy != "all { }")
            raise RolloutFailed("no")

    with pytest.raises(RolloutFailed):
        promote(served, "stable", 1, Failing("mnist", (), 0.0))
    assert before == read_config(served.config_path)
    assert not served.log.path.exists()


def test_what_got_a_label_meanwhile_stays_loaded_when_a_promotion_fails(served):
    """The policy goes back to what it was, but for the versions that labels point at now."""
    promote(served, "stable", 4)

    class Failing(Rollout):
        def wait_for(self, *_, **__):
            promote(served, "canary", 2)
            raise RolloutFailed("no")

    with pytest.raises(RolloutFailed):
        promote(served, "stable", 1, Failing("mnist", (), 0.0))
    assert ({"canary": 2, "stable": 4}, [2, 3, 4]) == (served.labels(), loaded(served))


def test_a_refusal_leaves_every_byte(served):
    """What is refused before anything is written, and a server that is down, leave comments and all."""
    served.config_path.write_text(
        "# by hand\n" + f'model_config_list {{ config {{ name: "mnist" base_path: "{served.base_path}" }} }}'
    )
    before = served.config_path.read_bytes()

    class Silent(Rollout):
        def check_answers(self):
            raise RolloutFailed("no")

    for failing, version, error in ((Silent("mnist", (), 0.0), 1, RolloutFailed), (None, 9, ReleaseRefused)):
        with pytest.raises(error):
            promote(served, "stable", version, failing)
    assert before == served.config_path.read_bytes()
    assert not list(served.config_path.parent.glob("*.by-hand"))


def test_a_version_that_is_newer_than_its_line_in_the_policy_is_waited_for(served):
    """A policy of all versions is old when a new one comes: the servers' time counts from when that could be seen."""
    served.config_path.write_text(
        f'model_config_list {{ config {{ name: "mnist" base_path: "{served.base_path}" '
        "model_version_policy { all { } } } }"
    )
    os.utime(served.config_path, (1, 1))
    (served.base_path / "4").rename(served.base_path / "4.denied")
    before = time.time() - 1
    (served.base_path / "4.denied").rename(served.base_path / "4")
    since = []

    class Watching(Rollout):
        def wait_for(self, *_, listed_since):
            since.append(listed_since)

    promote(served, "stable", 4, Watching("mnist", (), 0.0))
    assert since[0] >= before


def test_a_first_promotion_that_fails_leaves_no_label(served):
    """Where there was no config file, there is one with the model and nothing of the promotion."""

    class Failing(Rollout):
        def wait_for(self, *_, **__):
            raise RolloutFailed("no")

    with pytest.raises(RolloutFailed):
        promote(served, "stable", 1, Failing("mnist", (), 0.0))
    assert ({}, []) == (served.labels(), loaded(served))


def test_a_label_on_a_version_that_is_gone_is_named(served, caplog):
    """The server may refuse the whole file for it; another label can be moved all the same."""
    promote(served, "canary", 1)
    shutil.rmtree(served.base_path / "1")
    with caplog.at_level("WARNING", "tasks"):
        promote(served, "stable", 2)
    assert "label canary points at version 1, which is gone" in caplog.text
    assert {"canary": 1, "stable": 2} == served.labels()


def test_a_version_that_goes_meanwhile_gets_no_label(served):
    """Quarantined while the promotion waited: refused."""

    class Quarantining(Rollout):
        def wait_for(self, *_, **__):
            quarantine.quarantine(served, 1, force=False, why="")

    with pytest.raises(ReleaseRefused, match="has gone meanwhile"):
        promote(served, "stable", 1, Quarantining("mnist", (), 0.0))
    assert {} == served.labels()


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


@pytest.mark.parametrize("line", ["hello", "[1]", "{}", None])
def test_a_line_that_is_none_stops_everything(served, line):
    """The log is not guessed at: the line is named, and nothing changes."""
    promote(served, "stable", 1)
    line = line or served.log.path.read_text().strip().replace('"to": 1', '"to": "one"')
    with served.log.path.open("a") as stream:
        stream.write(f"{line}\n")
    with pytest.raises(InvalidReleaseLog, match=r"releases\.jsonl, line 2"):
        promote(served, "stable", 2)
    assert {"stable": 1} == served.labels()


def test_a_line_that_is_cut_short_is_mended(served):
    """What a machine that lost power left of a line goes: the move that it tells of had not begun."""
    promote(served, "stable", 1)
    content = served.log.path.read_bytes()
    served.log.path.write_bytes(content + b'{"when": "2026')
    assert [1] == [move.after for move in served.history()]
    with served.edit():
        assert content == served.log.path.read_bytes()


def test_retirement_spares_what_is_needed(served):
    """Labelled versions, what they would be rolled back to, and the newest stay."""
    promote(served, "stable", 1)
    promote(served, "stable", 2)
    lines = retirement.retire(served, 1, apply=True, why="")
    assert lines[0].startswith(str(served.base_path / "3"))
    assert ["1", "2", "4"] == sorted(path.name for path in served.base_path.iterdir())
    assert [2, 4] == loaded(served)


def test_retirement_spares_the_newest_good_version(served):
    """Where the newest versions are all bad, the last good one stays, too; where all are, every one does."""
    bad_from_3 = serve(served.config_path, served.base_path, verdict=lambda version: "bad" if version > 2 else None)
    assert retirement.retire(bad_from_3, 1, apply=False, why="")[-1].endswith("2, 4 stay")
    all_bad = serve(served.config_path, served.base_path, verdict=lambda _: "bad")
    with pytest.raises(ReleaseRefused, match="none is removed"):
        retirement.retire(all_bad, 1, apply=True, why="")
    assert 4 == len(list(served.base_path.iterdir()))
    assert not served.config_path.exists()


def test_what_retirement_frees_is_counted(served, tmp_path):
    """Files below a version count; what a link leads to stays, so it does not."""
    elsewhere = tmp_path / "elsewhere"
    shutil.move(served.base_path / "1", elsewhere)
    (served.base_path / "1").symlink_to(elsewhere)
    (served.base_path / "2" / "more").write_bytes(bytes(3 << 20))
    (served.base_path / "2" / "link").symlink_to(elsewhere / "saved_model.pb")
    lines = retirement.retire(served, 2, apply=True, why="")
    assert f"{served.base_path / '1'}: 0.0 MiB" == lines[0]
    assert f"{served.base_path / '2'}: 3.2 MiB" == lines[1]
    assert (elsewhere / "saved_model.pb").is_file()


def test_retirement_says_what_stays_in_the_right_number(served):
    """One version stays, several stay."""
    retire = functools.partial(retirement.retire, served, apply=False, why="")
    assert retire(1)[-1].endswith("; 4 stays")
    assert retire(2)[-1].endswith("; 3, 4 stay")


def test_what_others_remove_meanwhile_is_not_missed(served, in_process):
    """Files and versions that vanish while they are counted and removed end in no traceback."""
    remover = in_process(
        "import shutil, sys; print(flush=True); [shutil.rmtree(path, ignore_errors=True) for path in sys.argv[1:]]",
        *(served.base_path / version for version in "12"),
    )
    remover.stdout.readline()
    while remover.poll() is None:
        retirement.retire(served, 2, apply=False, why="")
    retirement._remove(served.base_path, [1, 2, 3])
    assert ["4"] == [path.name for path in served.base_path.iterdir()]


@pytest.mark.parametrize("make", [lambda path: path.touch(), lambda path: path.symlink_to("nowhere")])
def test_what_is_no_version_is_taken_back_once_too(served, make):
    """A file or a broken link with a number for a name, which the server stumbles over; again changes nothing."""
    make(served.base_path / "9")
    for _ in range(2):
        quarantine.quarantine(served, 9, force=False, why="")
    assert "9.denied" in [path.name for path in served.base_path.iterdir()]
    assert [9] == [move.before for move in served.history()]


def test_quarantine_takes_labels_off_only_if_forced(served, caplog):
    """A labelled version is refused; with force its label goes too, both are on record, and the log says so."""
    promote(served, "stable", 4)
    with pytest.raises(ReleaseRefused, match="RollBack --label stable"):
        quarantine.quarantine(served, 4, force=False, why="")
    with caplog.at_level("INFO", "tasks"):
        quarantine.quarantine(served, 4, force=True, why="wrong")
    assert f"Version 4 of mnist is taken back: {served.base_path / '4.denied'}; label stable is removed" in caplog.text
    assert ["1", "2", "3", "4.denied"] == sorted(path.name for path in served.base_path.iterdir())
    assert ({}, [2, 3]) == (served.labels(), loaded(served))
    assert [(move.label, move.before, move.after) for move in served.history()][1:] == [
        (None, 4, None),
        ("stable", 4, None),
    ]
    quarantine.quarantine(served, 4, force=False, why="")  # done already


def test_a_version_that_cannot_be_renamed_keeps_its_label(served, tmp_path):
    """What the system refuses at the rename itself (here: a mount point) leaves label, policy and log as they were."""
    version = served.base_path / "4"
    version.rename(tmp_path / "away")
    with disks.mounted(version, size=1 << 20):
        shutil.copytree(tmp_path / "away", version, dirs_exist_ok=True)
        promote(served, "stable", 4)
        before = served.config_path.read_bytes(), served.log.path.read_bytes()
        with pytest.raises(StorageFailed, match=r"4: cannot be renamed: .* busy"):
            quarantine.quarantine(served, 4, force=True, why="")
        with served.edit() as edit:
            assert {"stable": 4} == edit.labels
        assert before == (served.config_path.read_bytes(), served.log.path.read_bytes())


def test_nothing_is_taken_out_of_a_tree_that_is_closed(served):
    """Where this user may not write, the label stays and the policy too; the line names the folder."""
    with disks.closed(served.base_path):
        promote(served, "stable", 4)
        before = served.config_path.read_bytes(), served.log.path.read_bytes()
        said = f"{served.base_path} is not writable for this user"
        with pytest.raises(StorageFailed, match=said):
            quarantine.quarantine(served, 4, force=True, why="")
        with pytest.raises(StorageFailed, match=said):
            retirement.retire(served, 1, apply=True, why="")
        assert before == (served.config_path.read_bytes(), served.log.path.read_bytes())


def test_the_log_says_where_a_label_came_from(served, caplog):
    """The first time it is set, and afterwards it is moved."""
    with caplog.at_level("INFO", "tasks"):
        promote(served, "stable", 1)
        promote(served, "stable", 2)
    assert "Label stable of mnist: set to 1" in caplog.text
    assert "Label stable of mnist: from version 1 to 2" in caplog.text
