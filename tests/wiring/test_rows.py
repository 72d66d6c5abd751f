"""What a task is called, and what its row on the scheduler's page says."""

import re

import luigi
import pytest
from luigi.configuration import get_config
from luigi.parameter import ParameterVisibility
from luigi.scheduler import Scheduler
from luigi.worker import Worker

import tasks
from tasks.wiring.rows import TaskWithRow

EXPORT = {"version": 3, "model": "cnn", "training_iteration": 2000, "min_accuracy": 0, "dataset": "mnist", "seed": 0}
PLAIN = {"batch_size": 50, "schedule": "constant", "threads": 1, "warmup_records": 3}


class Bare(TaskWithRow):
    """A task that says nothing about its row."""

    first = luigi.Parameter(default="a")
    second = luigi.Parameter(default="b")


class Own(TaskWithRow):
    """A task of somebody else's, with parameters of all kinds."""

    shown = ("name",)
    given = luigi.IntParameter()
    usual = luigi.IntParameter(default=1)
    name = luigi.Parameter(default="")
    secret = luigi.Parameter(default="", visibility=ParameterVisibility.HIDDEN)
    private = luigi.Parameter(default="", visibility=ParameterVisibility.PRIVATE)
    how = luigi.Parameter(default="", significant=False)

    def complete(self):
        return False


def row_of(task):
    """What the scheduler's page is told of a task, in the order in which it shows it."""
    scheduler = Scheduler()
    with Worker(scheduler=scheduler) as worker:
        worker.add(task)
        return scheduler.task_list("", "")[task.task_id]["params"]


def test_a_row_has_its_own_few_first():
    """Version, model and iterations, and nothing that is as the code has it, the model's own defaults included."""
    task = tasks.ExportVersion(**EXPORT, **PLAIN)
    assert ["version", "model", "training_iteration"] == task.row()
    assert ("adam", 0.004) == (task.optimizer, task.learning_rate)


def test_a_row_goes_on_with_what_differs():
    """A rate that is another model's default, a folder of one's own, a switch."""
    given = {"learning_rate": 0.5, "schedule": "linear", "base_path": "/srv/<b>", "allow_signature_change": True}
    task = tasks.ExportVersion(**EXPORT, **{**PLAIN, **given})
    more = ["learning_rate", "learning_rate_schedule", "base_path", "allow_signature_change"]
    assert ["version", "model", "training_iteration", *more] == task.row()


@pytest.fixture
def configured():
    """A luigi.cfg that says otherwise than the code; afterwards it is as before."""
    config = get_config()
    before = config.get("ExportVersion", "base_path", None)
    config.set("ExportVersion", "base_path", "elsewhere")
    yield
    config.remove_option("ExportVersion", "base_path")
    if before is not None:
        config.set("ExportVersion", "base_path", before)


def test_what_luigi_cfg_says_is_shown_too(configured):  # noqa: ARG001
    """Whoever looks at the page may have another luigi.cfg."""
    assert "base_path" in tasks.ExportVersion(**EXPORT, **PLAIN).row()


@pytest.mark.parametrize(
    ("task", "begins"),
    [
        (tasks.DownloadDataset(), {"dataset": "mnist"}),
        (tasks.PrepareDataset(dataset="digits"), {"dataset": "digits"}),
        (tasks.TrainModel(training_iteration=3000), {"model": "softmax", "training_iteration": "3000"}),
        (tasks.ExportAllVersions(versions="1,2,3,7"), {"versions": "1-3,7"}),
        (tasks.RebuildVersions(versions="1"), {"versions": "1"}),
        (tasks.VerifyVersions(base_path="/srv"), {"base_path": "/srv"}),
        (tasks.PromoteVersion(label="stable", version=2), {"label": "stable", "version": "2"}),
        (tasks.RollBack(label="stable"), {"label": "stable"}),
        (tasks.QuarantineVersion(version=2), {"version": "2"}),
        (tasks.RetireVersions(), {"keep": "3"}),
        (tasks.ConfirmRollout(version=2, server=("a:1", "b:2")), {"version": "2", "server": "a:1,b:2"}),
    ],
    ids=lambda value: getattr(value, "task_family", ""),
)
def test_every_family_has_its_row(task, begins):
    """Each begins with what its task is about; its id says the same, and then Luigi's hash."""
    assert begins == {name: task.to_str_params()[name] for name in task.row()}
    words = "_".join(re.sub(r"\W", "_", task.to_str_params()[name]) for name in task.shown if begins.get(name))
    assert re.fullmatch(rf"{task.task_family}_{words}{'_' if words else ''}[0-9a-f]{{10}}", task.task_id)


def test_the_scheduler_is_told_the_row():
    """Luigi asks `_get_param_visibilities` for what the page may show: without that, it would show everything."""
    task = Own(given=5, name="me", secret="s3cret", private="mine", how="so")
    assert {"name": "me", "given": "5"} == row_of(task)
    assert ["name", "given"] == list(row_of(task))


def test_everything_else_is_kept_for_those_who_ask():
    """Logs, records and the command to re-run have all parameters, the row's first."""
    task = Own(given=5, how="so")
    assert {"name": "", "given": "5", "usual": "1", "secret": "", "how": "so"} == task.to_str_params()
    assert "Own(name=, given=5, usual=1, secret=, private=)" == str(task)
    assert task == Own.from_str_params(task.to_str_params())


def test_the_identity_is_luigis():
    """Two base paths are two tasks that are called alike but for the hash; what is not significant makes no other."""
    here, there = (tasks.ExportVersion(version=3, model="cnn", base_path=path) for path in ("here", "there"))
    assert here.task_id != there.task_id
    assert here != there
    assert here.task_id.rpartition("_")[0] == there.task_id.rpartition("_")[0]
    assert Own(given=5, how="so") == Own(given=5, how="otherwise")
    assert Own(given=5, usual=2) != Own(given=5)


def test_a_long_name_is_cut_and_a_strange_one_is_made_plain():
    """An id has letters, digits and underscores alone, whatever a parameter holds."""
    assert re.fullmatch(r"Own_a_b_[0-9a-f]{10}", Own(given=5, name="a/ä<b").task_id)
    assert re.fullmatch(r"Own_x{16}_[0-9a-f]{10}", Own(given=5, name="x" * 99).task_id)


def test_a_task_that_shows_nothing_looks_as_luigi_makes_it():
    """So does one of another Luigi, whose ids do not end in a hash."""
    assert re.fullmatch(r"Bare_a_b_[0-9a-f]{10}", Bare().task_id)
    assert {"first": "a", "second": "b"} == row_of(Bare())


def test_another_luigi_has_the_last_word(monkeypatch):
    """Where its ids end otherwise they stay as they are, and where it has no default to compare with, all is shown."""
    monkeypatch.setattr("luigi.task.task_id_str", lambda *_: "an-id")
    task = Own(given=17)
    assert "an-id" == task.task_id
    monkeypatch.delattr(dict(Own.get_params())["usual"], "_default")
    assert ["given", "usual"] == task.row()
