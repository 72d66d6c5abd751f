"""Command lines that are mistyped, and those that are shown."""

import shlex
import subprocess
import sys

import pytest
from luigi.cmdline_parser import CmdlineParser
from luigi.task_register import Register

import tasks
from tasks import ExportVersion, PromoteVersion
from tasks.__main__ import EXAMPLES
from tasks.wiring.command_line import command
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("typed", "told", "code"),
    [
        ("ExportAlVersions --versions 1", "There is no task ExportAlVersions; did you mean ExportAllVersions?", 1),
        ("Nothing --versions 1", "There is no task Nothing (all tasks: python -m tasks)", 1),
        ("ExportAllVersions --verisons 1", "unrecognized arguments: --verisons 1; did you mean --versions? (", 2),
        ("ExportAllVersions --verisons=1", "unrecognized arguments: --verisons=1; did you mean --versions? (", 2),
        ("ExportAllVersions 1", "unrecognized arguments: 1 (all options: luigi --module tasks ExportAllVersions -", 2),
        ("ExportAllVersions --versions", "argument --versions: expected one argument (all options: ", 2),
        ("ExportAllVersions --versions 1 --model cn", "allowed is one of cnn, softmax; did you mean cnn?", 40),
    ],
)
def test_what_is_mistyped_is_told_in_one_line(run_luigi, typed, told, code):
    """With what was meant, where something is alike; the exit code is Luigi's."""
    result = run_luigi(*typed.split(), check=code)
    assert 1 == len(result.stderr.splitlines())
    assert told in result.stderr
    assert "" == result.stdout


def run_module(directory, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "tasks", *arguments],
        cwd=directory,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_package_lists_its_tasks(tmp_path):
    """`python -m tasks` has a line and an example for each task."""
    result = run_module(tmp_path)
    assert (0, "") == (result.returncode, result.stderr)
    lines = result.stdout.splitlines()
    assert 2 * len(tasks.__all__) == len(lines)
    assert [*tasks.__all__] == sorted(line.split()[3] for line in lines[1::2])


@pytest.mark.parametrize("name", tasks.__all__)
def test_each_example_is_a_task(name):
    """What is shown can be typed: Luigi makes a task of it."""
    with CmdlineParser.global_instance([name, *shlex.split(EXAMPLES[name])], allow_override=True) as parser:
        assert isinstance(parser.get_task_obj(), getattr(tasks, name))
    Register.clear_instance_cache()  # tests of other recipes make the same tasks


def test_the_package_runs_its_tasks(tmp_path):
    """With arguments it is `luigi --module tasks`, and there even Luigi's own options may be mistyped."""
    result = run_module(tmp_path, "VerifyVersions", "--worker", "2")
    told = "ambiguous option: --worker; did you mean --workers? (all options: luigi --module tasks TASK --help)\n"
    assert (2, "", told) == (result.returncode, result.stdout, result.stderr)


def test_a_command_has_what_is_not_at_its_default(tmp_path, monkeypatch):
    """It can be typed where the run was started, whatever characters are in it."""
    monkeypatch.chdir(tmp_path)
    task = PromoteVersion(label="stable", version=2, base_path="my models", server=("a:1", "b:2"))
    shown = command(task, "RollBack", "base_path", "config_path", "server", label=task.label)
    assert f"luigi --module tasks RollBack --label stable --base-path '{tmp_path}/my models' --server a:1,b:2" == shown
    export = ExportVersion(version=1)
    with CmdlineParser.global_instance(["ExportVersion", "--local-scheduler"], allow_override=True):
        assert "luigi --module tasks VerifyVersions --local-scheduler" == command(export, "VerifyVersions", "base_path")
