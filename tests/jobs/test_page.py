"""What a person does with the scheduler's page: paste the command to re-run what failed, follow a link."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import luigi
import pytest

from tests import small
from tests.conftest import BIN, ROOT, names_in
from tests.jobs.chain import CHAIN
from tests.model_server import ModelServer

JAVASCRIPT = "map(([k,v]) => `--${k.replace(/_/g, '-')} ${JSON.stringify(v)}`).join(\" \")"
TEMPLATE = "luigi --module {{taskModule}} {{taskFamily}} {{taskParams}}"


@pytest.fixture
def run(finished, scheduler):
    """A command line in a copy of the three versions of CHAIN, whose luigi.cfg names that scheduler."""
    finished.configure(CHAIN + f"[core]\nscheduler_port = {scheduler.port}\n")
    return finished


def find_task(scheduler, family, directory):
    """What the page asks for to show the error of the task of that family that failed in that folder, or waits."""
    told = []
    for status in ("FAILED", "PENDING"):
        rows = scheduler.ask("task_list", status=status)
        told += [scheduler.ask("fetch_error", task_id=task_id) for task_id in rows if task_id.startswith(f"{family}_")]
    return next(one for one in told if f"{directory}/" in json.dumps(one["taskParams"]))


def command_of(told):
    """The command to re-run, built as the page builds it."""
    params = [f"--{name.replace('_', '-')} {json.dumps(value)}" for name, value in told["taskParams"].items()]
    return f"luigi --module {told['taskModule']} {told['taskFamily']} {' '.join(params)}"


def paste(command, directory):
    """Run a command as a shell in that folder runs it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{BIN}:{os.environ['PATH']}"}
    shell = ["bash", "-c", command]
    result = subprocess.run(
        shell, cwd=directory, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert 0 == result.returncode, f"{command}\n{result.stderr}"


def test_the_command_is_built_as_luigi_does():
    """These lines of Luigi's page are what `command_of` does."""
    page = Path(luigi.__file__).parent / "static" / "visualiser"
    assert JAVASCRIPT in (page / "js" / "visualiserApp.js").read_text()
    assert TEMPLATE in (page / "index.html").read_text()


class Aside:
    """Something that is moved away, so that a task fails, and put back."""

    def __init__(self, name):
        self.name = name

    def spoil(self, run):
        self.path = run.directory / self.name
        self.path.rename(self.path.with_name("aside"))

    def mend(self, run):  # noqa: ARG002 - as the others
        self.path.with_name("aside").rename(self.path)


class InTheWay(Aside):
    """A file or a folder that is where a task would put something."""

    def __init__(self, name, *, folder):
        super().__init__(name)
        self.folder = folder

    def spoil(self, run):
        path = run.directory / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if self.folder else path.touch()

    def mend(self, run):
        path = run.directory / self.name
        path.rmdir() if self.folder else path.unlink()


class NoMirror:
    """A mirror that has nothing yet."""

    def spoil(self, run):
        (run.directory / "a mirror").mkdir()

    def mend(self, run):
        small.write_archives(run.directory / "a mirror")


class NoBucket:
    """A bucket that is not there yet, and then has these versions."""

    def __init__(self, versions=""):
        self.versions = versions

    def spoil(self, run):
        assert not (run.directory / "a bucket").exists()

    def mend(self, run):
        (run.directory / "a bucket").mkdir()
        if self.versions:
            run("PushVersions", "--bucket", "a bucket", "--versions", self.versions, check=0)


class Label:
    """A label that points, or pointed, at other versions than a task asks for."""

    def __init__(self, before, then):
        self.before, self.then = before, then

    def spoil(self, run):
        self.point(run, self.before)

    def mend(self, run):
        self.point(run, self.then)

    def point(self, run, versions):
        for version in versions:
            options = ("--label=stable", f"--version={version}", "--wait-seconds=0", "--local-scheduler")
            run("PromoteVersion", *options, check=0)


class Garbled(Label):
    """A config file with a label that nobody can read for a while."""

    def spoil(self, run):
        super().spoil(run)
        self.file = run.directory / "models" / "models.config"
        self.content = self.file.read_bytes()
        self.file.write_text("garbage")

    def mend(self, run):  # noqa: ARG002 - as the others
        self.file.write_bytes(self.content)


WORK = "--work-dir other/work"
SCHEDULE = "--learning-rate-schedule linear --segment 3"
CASES = [
    ("DownloadDataset --archive-dir archives --mirrors 'a mirror'", NoMirror(), r"4 files, 0\.\d MB"),
    (f"PrepareDataset {WORK}", InTheWay("other/work/datasets", folder=False), "images: 500 training, 100 .* 200 test"),
    (
        f"TrainModel {WORK} {SCHEDULE} --total-iterations 9",
        InTheWay("other/work/training", folder=False),
        r"iteration 3 of 3, loss \d\.\d{4}",
    ),
    (
        "ExportVersion --version 7 --learning-rate-schedule cosine --base-path 'my \"own\" models'",
        InTheWay('my "own" models/7', folder=True),
        r"validation 0\.\d{4}, test 0\.\d{4}, 0\.\d MB",
    ),
    (
        "ExportAllVersions --versions 6,7 --learning-rate-schedule linear",
        InTheWay("models/mnist/7", folder=True),
        "2 versions",
    ),
    ("VerifyVersions --versions 2-3", Aside("models/mnist/2/saved_model.pb"), "2 versions verified, 0 warnings"),
    ("RebuildVersions --versions 2", Aside("models/mnist/2"), "1 version made again, each byte the same"),
    (
        "PromoteVersion --label stable --version 2 --wait-seconds 0 --why 'it is \"good\" <b>& new'",
        Aside("models/mnist/2"),
        "now version 2, before none",
    ),
    ("RollBack --label stable --wait-seconds 0", Label(before=[], then=[1, 2]), "now version 1, before 2"),
    ("RemoveLabel --label stable", Garbled(before=[2], then=[]), "now gone, before 2"),
    ("PushVersions --bucket 'a bucket' --versions 1,3", NoBucket(), r"2 versions pushed, 0\.\d MB"),
    (
        "PullVersions --bucket 'a bucket' --newest 1 --base-path 'my \"own\" models'",
        NoBucket("1,3"),
        r"1 version pulled, 0\.\d MB",
    ),
    ("WithdrawVersions --bucket 'a bucket' --versions 1", NoBucket("1,3"), "1 version taken out"),
    ("CompareVersions --versions 1,3", Aside("models/mnist"), "2 versions compared"),
    ("QuarantineVersion --version 2", Label(before=[2], then=[1]), "version 2 is taken back"),
    ("RetireVersions --keep 1 --apply", Aside("models/mnist"), r"2 versions, 0\.\d MiB removed; 3 stays"),
]


@pytest.mark.long
@pytest.mark.parametrize(("arguments", "fault", "result"), CASES, ids=[case[0].partition(" ")[0] for case in CASES])
def test_the_command_to_re_run_works_as_it_is(run, scheduler, arguments, fault, result):
    """Each family fails on purpose; when that is mended, what the page shows is pasted into a shell, and does it."""
    family = arguments.partition(" ")[0]
    fault.spoil(run)
    run(*shlex.split(arguments), local_scheduler=False, check=30)
    fault.mend(run)
    told = find_task(scheduler, family, run.directory)
    assert "tests.small" == told["taskModule"]
    paste(command_of(told), run.directory)
    row = scheduler.ask("task_list", status="DONE")[told["taskId"]]
    assert 100 == row["progress_percentage"]
    assert re.fullmatch(result, row["status_message"])


@pytest.mark.long
def test_what_would_be_removed_is_removed_when_asked_again_at_once(run):
    """Looking first is a task of its own: a scheduler takes what was done seconds ago for done."""
    run("RetireVersions", "--keep", "1", local_scheduler=False, check=0)
    run("RetireVersions", "--keep", "1", "--apply", local_scheduler=False, check=0)
    assert ["3"] == names_in(run.base)


@pytest.mark.long
def test_a_rollout_is_confirmed_by_the_same_command(run, scheduler):
    """The row of a task that asks a server has a link to what that says of the model, and its command works, too."""
    config_path = run.directory / "models" / "models.config"
    run("PromoteVersion", "--label=stable", "--version=3", "--wait-seconds=0", "--keep-loaded=0", check=0)
    with ModelServer(config_path, allow_new_labels=True) as server:
        options = ("--version=1", f"--server={server.url},{server.address}", "--timeout-seconds=2")
        run("ConfirmRollout", *options, local_scheduler=False, check=30)
        (row,) = (row for row in scheduler.ask("task_list", status="FAILED").values() if row["tracking_url"])
        assert f"{server.url}/v1/models/mnist" == row["tracking_url"]
        run("PromoteVersion", "--label=canary", "--version=1", f"--server={server.url}", check=0)
        paste(command_of(find_task(scheduler, "ConfirmRollout", run.directory)), run.directory)
    (row,) = (row for row in scheduler.ask("task_list", status="DONE").values() if row["name"] == "ConfirmRollout")
    assert f"{server.url}/v1/models/mnist" == row["tracking_url"]
    assert (100, "version 1 is confirmed by 2 servers") == (row["progress_percentage"], row["status_message"])
