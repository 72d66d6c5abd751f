"""A version that is taken back: its folder, its labels, and what is left when that fails."""

import errno
import os
import shutil

import pytest

from tasks.errors import ReleaseRefused, StorageFailed
from tasks.serving import quarantine, retirement
from tests import disks
from tests.serving.conftest import loaded, promote


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
    with caplog.at_level("DEBUG", "tasks"):
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


def test_a_rename_that_does_not_reach_the_disk_is_undone(served, monkeypatch):
    """Told in one line like any other, and the next try goes through."""
    promote(served, "stable", 4)
    before = served.config_path.read_bytes(), served.log.path.read_bytes()
    flush = quarantine.publishing.flush

    def fail(path):
        if path == served.base_path:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        flush(path)

    with monkeypatch.context() as patched:
        patched.setattr(quarantine.publishing, "flush", fail)
        with pytest.raises(StorageFailed, match=r"4: cannot be renamed: Input/output error"):
            quarantine.quarantine(served, 4, force=True, why="")
    assert before == (served.config_path.read_bytes(), served.log.path.read_bytes())
    assert (served.base_path / "4").is_dir()
    quarantine.quarantine(served, 4, force=True, why="")
    assert [None, "stable"] == [move.label for move in served.history()][-2:]


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
