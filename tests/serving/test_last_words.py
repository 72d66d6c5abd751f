"""What a release task says last: what has changed, where, and the command that undoes it."""

import shlex
import subprocess

import pytest

AT_ONCE = ("--wait-seconds", "0")


@pytest.fixture
def undo(release, base_path, config_path):  # noqa: ARG001 - the tree has to be there
    """Type what a task has said undoes it."""

    def type_in(said):
        (command,) = (line.removeprefix("Undo it: ") for line in said.splitlines() if line.startswith("Undo it: "))
        for part in command.split(" && "):
            words = shlex.split(part)
            if words[0] == "luigi":
                assert ["--module", "tasks", "--local-scheduler"] == [*words[1:3], words[-1]]
                release(*words[3:-1])
            else:
                subprocess.run(words, check=True)

    return type_in


def test_a_label_that_moves(release, served, undo):
    """The way back is a roll-back, from that a promotion, and from a new label its removal."""
    first = release("PromoteVersion", "--label=stable", "--version=1", *AT_ONCE)
    assert f"Label stable of mnist is now version 1 in {served.config_path}; it was not there" == first.splitlines()[0]
    undo(first)
    assert {} == served.labels()
    release("PromoteVersion", "--label=stable", "--version=1", *AT_ONCE)
    moved = release("PromoteVersion", "--label=stable", "--version=2", *AT_ONCE)
    assert f"Label stable of mnist is now version 2 in {served.config_path}; it was version 1" in moved.splitlines()
    undo(moved)
    assert {"stable": 1} == served.labels()
    release("PromoteVersion", "--label=stable", "--version=3", *AT_ONCE)
    undo(release("RollBack", "--label=stable", *AT_ONCE))
    assert {"stable": 3} == served.labels()


def test_a_version_that_is_taken_back(release, served, undo):
    """It gets its name back, and the labels that pointed at it."""
    release("PromoteVersion", "--label=stable", "--version=4", *AT_ONCE)
    said = release("QuarantineVersion", "--version=4", "--force")
    denied = served.base_path / "4.denied"
    assert f"Version 4 is {denied} and not in {served.config_path}, without label stable" in said.splitlines()
    assert {} == served.labels()
    undo(said.replace("--label stable", "--label stable --wait-seconds 0"))
    assert {"stable": 4} == served.labels()
    assert (served.base_path / "4").is_dir()


def test_versions_that_are_gone(release, served):
    """Nothing undoes it, and it says so; a plan has nothing to undo."""
    assert 3 == len(release("RetireVersions", "--keep=2").splitlines())
    said = release("RetireVersions", "--keep=2", "--apply").splitlines()
    assert said[-1].startswith(f"They are not in {served.config_path} either. Only ExportVersion brings them back")
