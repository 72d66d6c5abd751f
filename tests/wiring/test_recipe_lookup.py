"""Recipes: where each value comes from, and how each bad one is told. Luigi's real configuration is used."""

import re
from dataclasses import asdict

import pytest
from luigi.configuration import get_config

from tasks import DownloadDataset, ExportAllVersions, ExportVersion, TrainModel
from tasks.errors import InvalidParameter
from tasks.model.architectures import ARCHITECTURES
from tasks.recipes.recipe import KEYS, Recipe
from tasks.wiring.recipe_lookup import check_config, complete_values

OURS = re.compile(r"recipe(\..*)?|training|export|ExportVersion|ExportAllVersions|TrainModel")


@pytest.fixture
def configure():
    """`configure(section={key: value})` sets sections of Luigi's configuration; afterwards it is as before."""
    config = get_config()
    before = {section: dict(config[section]) for section in config.sections() if OURS.fullmatch(section)}

    def forget():
        check_config.cache_clear()
        for section in [section for section in config.sections() if OURS.fullmatch(section)]:
            config.remove_section(section)

    def put(sections):
        for section, values in sections.items():
            for key, value in values.items():
                config.set(section, key, str(value))

    forget()
    yield put
    forget()
    put(before)


def complete(given, version=None):
    """The recipe that is completed from what is given."""
    return Recipe(**complete_values({**dict.fromkeys(KEYS), **given}, version))


@pytest.fixture(autouse=True)
def _unconfigured(configure):
    """No test sees the luigi.cfg of the folder in which it runs."""


def test_the_default_is_the_tutorials_recipe():
    """With nothing given, a version is the softmax of TensorFlow Serving's tutorial."""
    expected = {
        "dataset": "mnist",
        "model": "softmax",
        "training_iteration": 1000,
        "batch_size": 50,
        "optimizer": "sgd",
        "learning_rate": 0.5,  # 0.01 on the sum of 50
        "schedule": "constant",
        "seed": 0,
        "min_accuracy": 0.0,
        "threads": 1,
        "segment": 1000,
        "warmup_records": 3,
        "max_regression": None,
        "max_regression_p": None,
    }
    assert expected == asdict(complete({}))


def test_each_model_has_an_optimizer_and_a_rate_of_its_own():
    """What neither command line nor luigi.cfg says about training comes from the architecture."""
    recipe = complete({"model": "cnn"})
    own = ARCHITECTURES["cnn"]
    assert (own.optimizer, own.learning_rate) == (recipe.optimizer, recipe.learning_rate)
    assert "adam" == recipe.optimizer


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("dataset", ("digits", "mnist", "digits", "mnist")),
        ("model", ("softmax", "cnn", "softmax", "softmax")),
        ("training_iteration", (3, 2, 1, 1000)),
        ("batch_size", (30, 20, 10, 50)),
        ("optimizer", ("sgd", "adam", "momentum", "sgd")),
        ("learning_rate", (0.03, 0.02, 0.01, 0.5)),
        ("schedule", ("constant", "cosine", "linear", "constant")),
        ("seed", (3, 2, 1, 0)),
        ("min_accuracy", (0.3, 0.2, 0.1, 0.0)),
    ],
)
def test_the_nearest_place_wins(configure, key, values):
    """Command line before [recipe.N] before [recipe] before the default, for every key."""
    on_the_command_line, of_the_version, of_all, default = values

    def found(given):
        return getattr(complete(given, 7), key)

    assert default == found({})
    configure({"recipe": {key: of_all}})
    assert of_all == found({key: None})
    configure({"recipe.7": {key: of_the_version}, "recipe.8": {key: default}})
    assert of_the_version == found({})
    assert on_the_command_line == found({key: on_the_command_line})
    assert on_the_command_line == found({key: str(on_the_command_line)})


@pytest.mark.parametrize("name", KEYS)
def test_every_key_is_read_from_its_section(configure, name):
    """A key of the table is looked up in the section that the table names, and in the version's if that is [recipe]."""
    key = KEYS[name]
    value = {"dataset": "digits", "model": "cnn", "optimizer": "momentum", "schedule": "linear"}.get(name, 1)
    configure({key.section: {name: value}})
    assert value == getattr(complete({}), name)


def test_without_a_version_no_section_of_one_applies(configure):
    """The recipe of data and training tasks, which belong to no version, takes [recipe] alone."""
    configure({"recipe": {"seed": 1}, "recipe.1": {"seed": 2}})
    assert 1 == complete({}).seed


def test_keys_may_be_written_with_dashes(configure):
    """`batch-size` in luigi.cfg is `batch_size`, as in Luigi's own sections, which warn of it."""
    configure({"recipe": {"batch-size": 20}})
    with pytest.warns(DeprecationWarning, match=r"\[recipe\] batch-size \(with dashes\) should be avoided"):
        assert 20 == complete({}).batch_size


BAD = [
    ("dataset", "minst", "one of digits, mnist"),
    ("dataset", "", "one of digits, mnist"),
    ("model", "resnet", "one of cnn, softmax"),
    ("optimizer", "rmsprop", "one of adam, momentum, sgd"),
    ("schedule", "exponential", "one of constant, cosine, linear"),
    ("training_iteration", "0", "a whole number from 1 to 10,000,000"),
    ("training_iteration", "-5", "a whole number from 1 to 10,000,000"),
    ("training_iteration", "1.5", "a whole number from 1 to 10,000,000"),
    ("training_iteration", "1e3", "a whole number from 1 to 10,000,000"),
    ("training_iteration", "10000001", "a whole number from 1 to 10,000,000"),
    ("training_iteration", True, "a whole number from 1 to 10,000,000"),
    ("batch_size", "0", "a whole number from 1 to 1,000,000"),
    ("batch_size", "nan", "a whole number from 1 to 1,000,000"),
    ("learning_rate", "0", "a finite number above 0"),
    ("learning_rate", "-0.5", "a finite number above 0"),
    ("learning_rate", "nan", "a finite number above 0"),
    ("learning_rate", "inf", "a finite number above 0"),
    ("learning_rate", "fast", "a finite number above 0"),
    ("learning_rate", [], "a finite number above 0"),
    ("seed", "-1", "a whole number from 0 to 4,294,967,295"),
    ("seed", str(2**32), "a whole number from 0 to 4,294,967,295"),
    ("seed", "9" * 5000, "a whole number from 0 to 4,294,967,295"),
    ("min_accuracy", "1.01", "a number from 0 to 1"),
    ("min_accuracy", "-0.1", "a number from 0 to 1"),
    ("min_accuracy", "nan", "a number from 0 to 1"),
    ("min_accuracy", "98%", "a number from 0 to 1"),
]


def refuses(text):
    return pytest.raises(InvalidParameter, match=f"^{text}$")


def pattern(allowed):
    """`one of` lists what is registered, to which other tests may add."""
    return "one of (.*, )?" + "(, .*)?, ".join(allowed[7:].split(", ")) + "(, .*)?" if "one of" in allowed else allowed


@pytest.mark.parametrize(("key", "value", "allowed"), BAD)
def test_a_bad_value_is_refused(key, value, allowed):
    """The error names key, value and what is allowed."""
    with refuses(re.escape(f"{key} = {value!r}: allowed is ") + pattern(allowed)):
        complete({key: value})


@pytest.mark.parametrize(
    ("key", "value", "allowed"), [bad for bad in BAD if isinstance(bad[1], str) and "%" not in bad[1]]
)
@pytest.mark.parametrize("section", ["recipe", "recipe.7"])
def test_a_bad_value_in_the_file_is_refused(configure, section, key, value, allowed):
    """For a value of luigi.cfg, the error names its section too."""
    configure({section: {key: value}})
    with refuses(re.escape(f"luigi.cfg [{section}] {key} = {value!r}: allowed is ") + pattern(allowed)):
        complete({}, 7)


@pytest.mark.parametrize(("dataset", "available"), [("digits", 1197), ("mnist", 55000)])
def test_a_batch_above_the_training_set_is_refused(dataset, available):
    """The largest batch is all training images."""
    assert available == complete({"dataset": dataset, "batch_size": available}).batch_size
    with refuses(
        f"batch_size = {available + 1}: dataset '{dataset}' has {available:,} training images; "
        f"allowed are whole numbers from 1 to {available:,}"
    ):
        complete({"dataset": dataset, "batch_size": available + 1})


@pytest.mark.parametrize(
    ("section", "key", "text"),
    [
        ("recipe", "modle", "unknown key; allowed are dataset, model, training_iteration, .*, min_accuracy"),
        ("recipe.1", "base_path", "unknown key; allowed are dataset, model, .*"),
        ("recipe.2", "threads", "unknown key; allowed are dataset, model, .*"),
        ("training", "thread", "unknown key; allowed are threads, segment"),
        (
            "ExportVersion",
            "model",
            r"recipe keys belong under \[recipe\] \(all versions\) or \[recipe\.N\] \(version N\)",
        ),
        ("ExportVersion", "learning_rate_schedule", r"recipe keys belong under \[recipe\] .*"),
        ("ExportVersion", "learning_rate", r"recipe keys belong under \[recipe\] .*"),
        ("ExportAllVersions", "training_iteration", r"recipe keys belong under \[recipe\] .*"),
        ("TrainModel", "seed", r"recipe keys belong under \[recipe\] .*"),
    ],
)
def test_a_key_without_effect_is_refused(configure, section, key, text):
    """A key in the wrong section and one that nobody knows are named, with what is allowed or where it belongs."""
    configure({section: {key: "1"}})
    with refuses(re.escape(f"luigi.cfg [{section}] {key}: ") + text):
        complete({})


def test_a_misplaced_key_written_with_dashes_is_refused_too(configure):
    """`batch-size` is as misplaced as `batch_size`."""
    configure({"ExportVersion": {"batch-size": 1}})
    with pytest.raises(InvalidParameter, match=r"^luigi\.cfg \[ExportVersion\] batch_size: recipe keys belong"):
        complete({})


def test_other_keys_of_a_task_may_stand_in_its_section(configure):
    """base_path and work_dir under [ExportVersion] are Luigi's own business."""
    configure({"ExportVersion": {"base_path": "models", "work_dir": "elsewhere"}})
    assert 50 == complete({}).batch_size


@pytest.mark.parametrize("name", ["x", "", "0", "-1", "1.5", "01", str(2**63)])
def test_a_recipe_of_no_version_is_refused(configure, name):
    """The section of a version is called by its number."""
    configure({f"recipe.{name}": {"seed": 1}})
    with refuses(
        re.escape(f"luigi.cfg [recipe.{name}]: version {name!r}: allowed are whole numbers from 1 to {2**63 - 1}")
    ):
        complete({})


def test_only_what_a_task_has_is_completed():
    """The download has no key but the dataset, and asks for no other."""
    assert {"dataset": "mnist"} == complete_values({"dataset": None, "work_dir": "work"})
    assert "mnist" == DownloadDataset().dataset


@pytest.mark.parametrize("threads", ["0", "-1", "257", "many"])
def test_bad_threads_are_refused(configure, threads):
    """Section, key, value and what is allowed are told."""
    with refuses(f"threads = '{threads}': allowed is a whole number from 1 to 256"):
        complete({"threads": threads})
    configure({"training": {"threads": threads}})
    with refuses(rf"luigi\.cfg \[training\] threads = '{threads}': allowed is a whole number from 1 to 256"):
        complete({})


@pytest.mark.parametrize(
    ("schedule", "given", "expected"),
    [("constant", 0, 0), ("constant", 500, 0), ("linear", 0, 200), ("cosine", "500", 500), ("linear", 200, 200)],
)
def test_a_schedule_that_ends_knows_when(schedule, given, expected):
    """A schedule ends with the training unless told otherwise; the constant one never does."""
    assert expected == TrainModel(schedule=schedule, training_iteration=200, total_iterations=given).schedule_end


def test_a_schedule_cannot_end_before_the_training():
    """A total below the iterations that are asked for is refused."""
    with refuses(
        r"total_iterations = 199: allowed are 0 and whole numbers from 200 \(training_iteration\) to 10,000,000"
    ):
        TrainModel(schedule="linear", training_iteration=200, total_iterations=199).complete()


def test_what_holds_for_a_version_alone_holds_for_it_in_a_set(configure):
    """A default that Luigi gives to ExportVersion, in its own section as on the command line, is not lost in a set."""
    configure({"ExportVersion": {"threads": 2, "warmup_records": 7, "max_regression": 0.5}})
    alone = ExportVersion(version=2)
    assert (2, 7, 0.5) == (alone.threads, alone.warmup_records, alone.max_regression)
    assert [alone.task_id] == [version.task_id for version in ExportAllVersions(versions="2").requires()]
    assert 3 == ExportAllVersions(versions="2", threads=3).requires()[0].threads


def test_a_version_alone_and_in_a_set_are_one_task(configure):
    """Luigi sees one and the same task, whether a key is given in the call, in luigi.cfg or nowhere."""
    configure({"recipe": {"batch_size": 20}, "recipe.2": {"model": "cnn"}})
    alone = ExportVersion(version=2, seed="5")
    for versions in ("2", "1,2,3"):
        task = ExportAllVersions(versions=versions, seed=5)
        assert alone.task_id in [version.task_id for version in task.requires()]
    assert ("cnn", 20, 5, "adam") == (alone.model, alone.batch_size, alone.seed, alone.optimizer)


def test_a_default_that_is_written_out_makes_no_other_task():
    """Asking for what is the default anyway is asking for the same task."""
    assert ExportVersion(version=1) is ExportVersion(
        version="1", model="softmax", learning_rate="0.5", batch_size="050"
    )


def test_versions_that_agree_share_their_training(configure):
    """Two versions that differ in nothing but their number and gate need the same task."""
    configure({"recipe.2": {"min_accuracy": 0.5}})
    first, second = ExportAllVersions(versions="1,2").requires()
    assert first.task_id != second.task_id
    assert first.needed_training.task_id == second.needed_training.task_id


def test_a_longer_training_continues_the_shorter_one():
    """Versions that differ in the number of iterations share all segments of the shorter."""
    longer = ExportVersion(version=2, training_iteration=2500).needed_training
    second = longer.requires()["previous"]
    first = second.requires()["previous"]
    assert (2500, 2000, 1000) == (longer.training_iteration, second.training_iteration, first.training_iteration)
    assert first is ExportVersion(version=1).needed_training
    assert "previous" not in first.requires()


def test_a_schedule_that_ends_is_not_shared():
    """With a schedule that depends on the total, the earlier segments are those of this training alone."""
    longer = ExportVersion(version=2, schedule="linear", training_iteration=2000).needed_training
    assert 2000 == longer.requires()["previous"].total_iterations
    assert longer.requires()["previous"].task_id != TrainModel(schedule="linear").task_id


def test_every_version_of_a_set_is_checked_before_any_runs(configure):
    """One bad recipe among many is told when the set is asked for."""
    configure({"recipe.3": {"batch_size": 60000}})
    with pytest.raises(InvalidParameter, match=r"^batch_size = 60000: dataset 'mnist' has 55,000"):
        ExportAllVersions(versions="1-3")


def test_a_set_needs_versions():
    """Without versions the error says what is allowed."""
    with refuses("versions: none given; allowed are positive whole numbers and ranges, such as 1,2,3 or 1-10 or 1-3,7"):
        ExportAllVersions()
