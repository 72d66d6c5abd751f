"""Versions that others made: released like those of this pipeline, and held against checksums from then on."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tasks.errors import InvalidReleaseLog, ReleaseRefused
from tasks.serving import foreign
from tasks.storage import checksums
from tests.model_server import ModelServer
from tests.savedmodel.foreign import KINDS
from tests.serving.conftest import loaded, promote, serve, wait_until, write_config
from tests.serving.test_bad_input import run_and_fail


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A base path with versions that others made: 1 to 6, of the kinds in their order; not to be changed."""
    base_path = tmp_path_factory.mktemp("made") / "mnist"
    base_path.mkdir()
    for version, write in enumerate(KINDS.values(), 1):
        write(base_path / str(version))
    return base_path


@pytest.fixture
def others(made, tmp_path):
    """A copy of it, in the place where the tasks look for it."""
    return Path(shutil.copytree(made, tmp_path / "models" / "mnist"))


@pytest.fixture
def served(others, config_path):
    """The model of that base path, of which nothing is served yet."""
    return serve(config_path, others)


def admit_and_promote(served, version, *, is_allowed=True):
    record = foreign.admit(served, version, is_allowed=is_allowed)
    return promote(served, "stable", version, first=record)


@pytest.mark.long
def test_versions_of_others_are_released_step_by_step(release, others, config_path):
    """Promoted with the flag, confirmed, rolled back without it, and retired: on a server that follows the config."""
    write_config(config_path, others, 1)
    with ModelServer(config_path, allow_new_labels=True) as server:
        where = ("--server", f"{server.address},{server.url}")
        for version in range(1, 6):  # 6 has nothing to ask
            release("PromoteVersion", "--label", "stable", "--version", version, "--allow-foreign", *where)
            said = release("ConfirmRollout", "--version", version, *where)
            assert f"labels: stable -> {version}" in said
            assert f"{version} AVAILABLE" in said
        release("RollBack", "--label", "stable", *where)
        wait_until(lambda: server.labels == {("mnist", "stable"): 4})
    plan = release("RetireVersions", "--keep", "1", "--apply")
    assert "3 versions" in plan
    assert plan.splitlines()[-2].endswith("removed; 4, 5, 6 stay")
    records = foreign.read_records(config_path, others)
    assert {1, 2, 3, 4, 5} == set(records)
    assert records[5] == checksums.list_files(others / "5")
    said = release("VerifyVersions", "--versions", "4,5")
    assert "note    5: was made elsewhere, and promoted: foreign.json has its checksums" in said


def test_without_the_flag_nothing_is_promoted(served):
    """The line names what is missing, and the way."""
    said = (
        f"{served.base_path / '1'} was not made by this pipeline: no readable assets.extra/manifest.json in it; "
        "--allow-foreign takes its checksums now, and promotes it"
    )
    with pytest.raises(ReleaseRefused, match=re.escape(said)):
        admit_and_promote(served, 1, is_allowed=False)
    assert not served.config_path.exists()


def test_the_flag_is_needed_once(served):
    """What is on record may be promoted again; its checksums are those of the first time."""
    admit_and_promote(served, 1)
    admit_and_promote(served, 2)
    moves = admit_and_promote(served, 1, is_allowed=False)
    assert [(move.before, move.after) for move in moves] == [(2, 1)]
    files = {version: checksums.list_files(served.base_path / version) for version in "12"}
    assert json.loads((served.config_path.parent / "foreign.json").read_text()) == {str(served.base_path): files}


def test_a_version_that_changed_since_is_refused(served):
    """With the flag, too: a number means one thing, whoever made it."""
    admit_and_promote(served, 3)
    admit_and_promote(served, 1)
    (served.base_path / "3" / "assets" / "vocabulary.txt").write_text("evil\nbad\n")
    again = serve(served.config_path, served.base_path)
    with pytest.raises(ReleaseRefused, match=r"3 fails verification: assets/vocabulary\.txt was changed: SHA-256 "):
        admit_and_promote(again, 3)
    assert again.labels() == {"stable": 1}


def test_a_version_without_signature_is_refused(served):
    """Nobody could ask it anything; nothing is written, and it is not loaded for being new."""
    with pytest.raises(ReleaseRefused, match="6 fails verification: has no signature; clients have nothing to ask"):
        admit_and_promote(served, 6)
    assert not foreign.record_path(served.config_path).exists()
    admit_and_promote(served, 1)
    assert loaded(served) == [1, 4, 5]


def test_a_promotion_that_fails_leaves_no_checksums(run_here, others):
    """A server that is down: one line, and nothing is written."""
    said = run_and_fail(
        run_here,
        *("PromoteVersion", "--label", "stable", "--version", "1", "--allow-foreign", "--server", "127.0.0.1:9"),
    )
    assert "127.0.0.1:9: GetModelStatus fails: UNAVAILABLE" in said
    assert not (others.parent / "foreign.json").exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"a": 1}', '{"a": {"b": {}}}', '{"a": {"1": 5}}', "\xff"])
def test_a_record_that_cannot_be_read_is_named(served, content):
    """It may not be taken for an empty one: what was promoted would count as never seen."""
    path = foreign.record_path(served.config_path)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(
        InvalidReleaseLog, match=rf"^{path}: not a record of versions made elsewhere \(.*; put it aside"
    ):
        foreign.admit(served, 1, is_allowed=True)


def test_versions_with_a_manifest_need_nothing(base_path, config_path):
    """Those of this pipeline carry their checksums, whatever the record holds; what is missing is told by others."""
    served, path = serve(config_path, base_path), foreign.record_path(config_path)
    foreign.admit(served, 9, is_allowed=False)()
    foreign.admit(served, 1, is_allowed=False)()
    assert not path.exists()
    path.write_text("{")
    promote(served, "stable", 1, first=foreign.admit(served, 1, is_allowed=True))
    assert served.labels() == {"stable": 1}
