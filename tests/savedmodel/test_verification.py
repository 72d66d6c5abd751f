"""Every fault that can be found in a version tree, made on purpose."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from tasks.savedmodel.prediction_requests import PredictionLog, predict_request, write_logs
from tasks.savedmodel.verification import verify_tree, verify_version
from tasks.savedmodel.warmup import WARMUP
from tasks.storage import checksums
from tasks.versions.golden import ANSWERS
from tasks.versions.manifest import MANIFEST
from tasks.versions.tree import ERROR, NOTE, WARNING
from tests.savedmodel.foreign import KINDS, write_keras, write_odd, write_silent, write_tutorial, write_words

ROOT = Path(__file__).parent.parent.parent
DATA = Path("variables", "variables.data-00000-of-00001")


def _cut(path, keep):
    path.write_bytes(path.read_bytes()[:keep])


def _flip(path, index=1000):
    content = bytearray(path.read_bytes())
    content[index] ^= 1
    path.write_bytes(bytes(content))


def _fail_warmup(tree):
    log = PredictionLog()
    log.predict_log.request.CopyFrom(predict_request(np.zeros((1, 3), np.float32)))
    write_logs(tree / "1" / WARMUP, [log])


def _regress_in_warmup(tree):
    log = PredictionLog()
    log.regress_log.SetInParent()
    write_logs(tree / "1" / WARMUP, [log])


def _empty(tree):
    for name in "12":
        shutil.rmtree(tree / name)


def _foreign_with_other_answers(tree):
    (tree / "2" / MANIFEST).unlink()
    shutil.copy(tree / "1" / ANSWERS, tree / "2" / ANSWERS)


# what is done to a tree of versions 1 and 2: the entry that is named, severity, and docs/verification.md's message
FAULTS = {
    "changed byte": (
        lambda tree: _flip(tree / "1" / DATA),
        ("1", ERROR, "variables/variables.data-00000-of-00001 was changed: SHA-256 ..."),
    ),
    "another size": (
        lambda tree: _cut(tree / "1" / DATA, 100),
        ("1", ERROR, "variables/variables.data-00000-of-00001 has 100 bytes, its manifest says 31400"),
    ),
    "file gone": (
        lambda tree: (tree / "1" / "assets.extra" / "golden" / "predict.json").unlink(),
        ("1", ERROR, "assets.extra/golden/predict.json is missing"),
    ),
    "file added": (
        lambda tree: (tree / "1" / "notes.txt").write_text("mine"),
        ("1", WARNING, "notes.txt was added: its manifest does not have it"),
    ),
    "manifest of another version": (
        lambda tree: shutil.copytree(tree / "1", tree / "5"),
        ("5", ERROR, "its manifest is that of version 1"),
    ),
    "manifest damaged": (
        lambda tree: _cut(tree / "1" / MANIFEST, 100),
        ("1", ERROR, "assets.extra/manifest.json cannot be read, or has another schema"),
    ),
    "no manifest": (
        lambda tree: shutil.rmtree(tree / "1" / "assets.extra"),
        ("1", NOTE, "was made elsewhere: there are no checksums to compare with"),
    ),
    "no manifest, but golden answers": (
        lambda tree: (tree / "1" / MANIFEST).unlink(),
        ("1", ERROR, "assets.extra/manifest.json is missing, and golden answers are there"),
    ),
    "index missing": (
        lambda tree: (tree / "1" / "variables" / "variables.index").unlink(),
        (
            "1",
            ERROR,
            "variables/variables.index is missing; the server would load it, and every request would fail",
        ),
    ),
    "graph cut short": (
        lambda tree: _cut(tree / "1" / "saved_model.pb", 500),
        ("1", ERROR, "TensorFlow's C++ loader says OUT_OF_RANGE: Read less bytes than requested"),
    ),
    "graph missing": (
        lambda tree: (tree / "1" / "saved_model.pb").unlink(),
        ("1", ERROR, "TensorFlow's C++ loader says NOT_FOUND: Could not find SavedModel ..."),
    ),
    "newest does not load": (
        lambda tree: _cut(tree / "2" / "saved_model.pb", 500),
        ("2", ERROR, "the newest version does not load: a server that loads the newest alone fails at its next start"),
    ),
    "warm-up garbage": (
        lambda tree: (tree / "1" / WARMUP).write_bytes(b"garbage" * 9),
        ("1", ERROR, "assets.extra/tf_serving_warmup_requests: no TFRecord file: corrupted record at 0 ..."),
    ),
    "warm-up too long": (
        lambda tree: write_logs(tree / "1" / WARMUP, [PredictionLog()] * 1001),
        ("1", ERROR, "assets.extra/tf_serving_warmup_requests: 1001 records; the server takes at most 1000"),
    ),
    "warm-up fails": (
        _fail_warmup,
        ("1", ERROR, "assets.extra/tf_serving_warmup_requests: record 1 (predict_log) fails: ..."),
    ),
    "warm-up of another kind": (
        _regress_in_warmup,
        ("1", NOTE, "assets.extra/tf_serving_warmup_requests: record 1 (regress_log): not replayed here"),
    ),
    "golden answers differ": (
        _foreign_with_other_answers,
        ("2", ERROR, "its golden answers (predict_log) differ by ..., allowed is 0.0001"),
    ),
    "golden answers damaged": (
        lambda tree: _cut(tree / "1" / ANSWERS, 100),
        ("1", ERROR, "assets.extra/golden/answers.tfrecord: no TFRecord file: truncated record at 0..."),
    ),
    "nothing to ask": (
        lambda tree: write_silent(tree / "3"),
        ("3", ERROR, "has no signature; clients have nothing to ask"),
    ),
    "a type that JSON has not": (
        lambda tree: write_odd(tree / "3"),
        ("3", WARNING, "ask: outputs half (float16) have no JSON; gRPC clients alone can ask"),
    ),
    "a scalar": (
        lambda tree: write_odd(tree / "3"),
        ("3", NOTE, 'ask: outputs mean are scalars; REST clients send "inputs", not "instances"'),
    ),
    "a graph for something else": (
        lambda tree: write_tutorial(tree / "3", tags=[("train",), ("serve", "gpu")]),
        (
            "3",
            ERROR,
            "saved_model.pb: no graph with the tags serve, which the server asks for; there are: train; gpu,serve",
        ),
    ),
    "leading zeros": (
        lambda tree: shutil.copytree(tree / "1", tree / "003"),
        ("003", WARNING, "is version 3 to the server; name it 3"),
    ),
    "two entries for a version": (
        lambda tree: shutil.copytree(tree / "1", tree / "01"),
        ("01", ERROR, "is version 1, as '1' is; the server loads '1', with the policy all {} '01'"),
    ),
    "zero": (
        lambda tree: shutil.copytree(tree / "1", tree / "0"),
        ("0", WARNING, "is a version to the server; the tasks here take numbers above 0 alone"),
    ),
    "negative": (
        lambda tree: shutil.copytree(tree / "1", tree / "-1"),
        (
            "-1",
            WARNING,
            "is a version to the server, which REST clients cannot ask for; the tasks here take numbers above 0 alone",
        ),
    ),
    "file with a number": (
        lambda tree: (tree / "7").write_text(""),
        ("7", ERROR, "is a file; the server takes it for a version and fails to load it"),
    ),
    "link to nothing": (
        lambda tree: (tree / "7").symlink_to("gone"),
        ("7", ERROR, "points at nothing; the server takes it for a version and fails to load it"),
    ),
    "left over": (
        lambda tree: (tree / ".aside-3-0123abcd").mkdir(),
        (".aside-3-0123abcd", WARNING, "is left over from a run that was killed; no reader needs it"),
    ),
    "quarantined": (
        lambda tree: (tree / "1").rename(tree / "1.denied"),
        ("1.denied", NOTE, "is quarantined; the server does not see it"),
    ),
    "no version": (
        lambda tree: (tree / "README").write_text("mine"),
        ("README", NOTE, "is no version; the server does not see it"),
    ),
    "empty base path": (
        _empty,
        ("", ERROR, "BASE holds no version; the server unloads what it serves"),
    ),
    "base path missing": (
        shutil.rmtree,
        ("", ERROR, "BASE is not there; the server's poll fails then, for all its models"),
    ),
}


def _all_faults(base_path):
    faults, versions = verify_tree(base_path)
    return [*faults, *(fault for version in versions for fault in version.faults)]


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found(tree, fault):
    """What was broken on purpose is named with its entry, its severity and what it means to the server."""
    break_it, (name, severity, message) = FAULTS[fault]
    break_it(tree)
    pattern = re.escape(message.replace("BASE", str(tree))).replace(re.escape("..."), ".*")
    faults = _all_faults(tree)
    assert [
        found
        for found in faults
        if (found.name, found.severity) == (name, severity) and re.fullmatch(pattern, found.message)
    ], faults
    assert all(len(found.message.splitlines()) == 1 for found in faults)


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_in_the_documentation(fault):
    """The table in docs/verification.md has a row with each message."""
    _, (_, severity, message) = FAULTS[fault]
    page = (ROOT / "docs" / "verification.md").read_text()
    assert f"| {severity} | `{message}` |" in page


@pytest.mark.parametrize("name", ["saved_model.pb", DATA.as_posix(), WARMUP.as_posix(), ANSWERS.as_posix()])
def test_a_fifo_in_a_version_is_a_fault_that_nobody_waits_for(tree, make_fifo, name):
    """TensorFlow, which would open it and wait, is not asked; the documentation has the message."""
    make_fifo(tree / "1" / name)
    said = "not a regular file; TensorFlow would wait for it for ever. Remove it"
    assert [f"{name} is missing", f"{name}: {said}"] == [fault.message for fault in verify_version(tree / "1").faults]
    assert f"| error | `saved_model.pb: {said}` |" in (ROOT / "docs" / "verification.md").read_text()


def test_a_missing_index_is_one_fault(tree):
    """The manifest misses the file, the loader knows what that means: said once, by the one who knows more."""
    (tree / "1" / "variables" / "variables.index").unlink()
    assert [fault.message for fault in verify_version(tree / "1").faults] == [
        "variables/variables.index is missing; the server would load it, and every request would fail"
    ]


def test_a_good_tree_has_no_faults(exported):
    """What was exported is good, and loads."""
    faults, versions = verify_tree(exported)
    assert faults == []
    assert [(version.name, version.faults, version.loads) for version in versions] == [("1", (), True), ("2", (), True)]


def test_what_was_asked_for_alone_is_verified(tree):
    """Versions can be named; one that is not there is an error, the others are not looked into."""
    _cut(tree / "1" / "saved_model.pb", 10)
    faults, versions = verify_tree(tree, [2, 9])
    assert [version.name for version in versions] == ["2"]
    assert [(fault.name, fault.message) for fault in faults] == [("9", "is not there")]


def test_a_file_as_newest_version_does_not_load_either(tree):
    """Whatever the highest number is, the server fails at its next start if it does not load."""
    (tree / "7").write_text("")
    messages = [fault.message for fault in _all_faults(tree) if fault.name == "7"]
    assert "the newest version does not load: a server that loads the newest alone fails at its next start" in messages
    assert messages[:1] == [fault.message for fault in verify_tree(tree, [1])[0]]


def test_any_damage_to_the_graph_is_a_fault_and_never_an_exception(tree):
    """A flipped byte anywhere in saved_model.pb is found; whatever TensorFlow makes of it, the check goes on."""
    path = tree / "1" / "saved_model.pb"
    content, stream = path.read_bytes(), np.random.RandomState(0)
    for index in stream.randint(0, len(content), size=40):
        path.write_bytes(content)
        _flip(path, index)
        assert any("saved_model.pb was changed" in fault.message for fault in verify_version(tree / "1").faults)


def test_what_cannot_be_read_is_a_fault(tree, monkeypatch):
    """A file that this user may not read is named, and the check goes on."""

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("tasks.storage.checksums.sha256", refuse)
    verified = verify_version(tree / "1")
    assert verified.loads
    assert [fault.message.partition(" '")[0] for fault in verified.faults] == [
        "cannot be checked further: PermissionError: [Errno 13] Permission denied:"
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_what_others_make_is_judged_as_the_server_would(tmp_path, kind):
    """Whoever made it, it loads and has no fault, unless it has no signature; that it has no manifest is noted."""
    KINDS[kind](tmp_path / "1")
    verified = verify_version(tmp_path / "1")
    assert verified.loads
    faults = [(fault.severity, fault.message) for fault in verified.faults]
    silent = [(ERROR, "has no signature; clients have nothing to ask")] if kind == "no signature" else []
    assert [(NOTE, "was made elsewhere: there are no checksums to compare with"), *silent] == faults


def test_one_made_elsewhere_with_a_link_is_not_loaded(tmp_path):
    """There is no manifest to say what its files are, and a model is a program: what a link leads to is not run."""
    write_keras(tmp_path / "1")
    (tmp_path / "1" / "fingerprint.pb").rename(tmp_path / "elsewhere.pb")
    (tmp_path / "1" / "fingerprint.pb").symlink_to(tmp_path / "elsewhere.pb")
    verified = verify_version(tmp_path / "1")
    assert verified.loads is None
    found = [fault.message for fault in verified.faults if fault.severity == ERROR]
    assert ["fingerprint.pb is a link; its bytes belong to another place", "was not loaded: it has links"] == found


def test_what_was_promoted_is_held_against_its_checksums(tmp_path):
    """Without a manifest, those of the promotion count: a file that changed, went or came since is named."""
    write_words(tmp_path / "1")
    write_keras(tmp_path / "2")
    promoted = {number: checksums.list_files(tmp_path / str(number)) for number in (1, 2)}
    (tmp_path / "1" / "assets" / "vocabulary.txt").write_text("evil\nbad\n")
    (tmp_path / "1" / "fingerprint.pb").unlink()
    (tmp_path / "1" / "notes.txt").write_text("mine")
    _, versions = verify_tree(tmp_path, promoted=promoted)
    note = (NOTE, "was made elsewhere, and promoted: foreign.json has its checksums")
    found, unchanged = ([(fault.severity, fault.message) for fault in version.faults] for version in versions)
    was = promoted[1]["assets/vocabulary.txt"]["sha256"][:12]
    now = checksums.sha256(tmp_path / "1" / "assets" / "vocabulary.txt")[:12]
    assert [note] == unchanged
    assert [
        note,
        (ERROR, f"assets/vocabulary.txt was changed: SHA-256 {now}..., foreign.json says {was}..."),
        (ERROR, "fingerprint.pb is missing"),
        (WARNING, "notes.txt was added: foreign.json does not have it"),
    ] == found
