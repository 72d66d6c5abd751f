"""Options and a luigi.cfg that make no sense."""

import pytest

from tests.conftest import last_line, names_in

BAD_OPTIONS = [
    (("--versions", ""), "versions", "1-3,7"),
    (("--versions", "0"), "'0'", "1-3,7"),
    (("--versions=-1",), "'-1'", "1-3,7"),
    (("--versions", "a"), "'a'", "1-3,7"),
    (("--versions", "1,,2"), "'1,,2'", "1-3,7"),
    (("--versions", "3-1"), "the range 3-1 runs backwards", "1-3,7"),
    (("--versions", "1.5"), "'1.5'", "1-3,7"),
    (("--versions", str(2**63)), f"'{2**63}'", str(2**63 - 1)),
    (("--versions", "1-99999999"), "'1-99999999'", "10,000"),
    (("--versions", "1", "--dataset", "cifar"), "dataset = 'cifar'", "digits, mnist, small"),
    (("--versions", "1", "--model", "resnet"), "model = 'resnet'", "cnn, softmax"),
    (("--versions", "1", "--optimizer", "lion"), "optimizer = 'lion'", "adam, momentum, sgd"),
    (("--versions", "1", "--learning-rate-schedule", "step"), "schedule = 'step'", "constant, cosine, linear"),
    (("--versions", "1", "--training-iteration", "0"), "training_iteration = '0'", "1 to 10,000,000"),
    (("--versions", "1", "--training-iteration", "-5"), "training_iteration = '-5'", "1 to 10,000,000"),
    (("--versions", "1", "--batch-size", "2.5"), "batch_size = '2.5'", "a whole number from 1"),
    (("--versions", "1", "--learning-rate", "nan"), "learning_rate = 'nan'", "a finite number above 0"),
    (("--versions", "1", "--learning-rate", "0"), "learning_rate = '0'", "a finite number above 0"),
    (("--versions", "1", "--min-accuracy", "1.5"), "min_accuracy = '1.5'", "a number from 0 to 1"),
    (("--versions", "1", "--seed", "-1"), "seed = '-1'", "0 to 4,294,967,295"),
    (("--versions", "1", "--threads", "0"), "threads = '0'", "1 to 256"),
    (("--versions", "1", "--allow-signature-change", "maybe"), "allow_signature_change = 'maybe'", "true and false"),
    (("--versions", "1", "--work-dir", "~no-such-user/w"), "work_dir '~no-such-user/w'", "nobody here has that name"),
    (("--versions", "1", "--base-path", "a\udcffb"), "base_path 'a\\udcffb'", "paths in UTF-8, without a NUL"),
    (("--versions", "1", "--bucket", "~no-such-user/b"), "bucket '~no-such-user/b'", "nobody here has that name"),
    (("--versions", "1", "--dataset", "small", "--batch-size", "501"), "batch_size = 501", "1 to 500"),
]
TREES = [
    ("ExportVersion", "--version=1", "--dataset=small"),
    ("ExportAllVersions", "--versions=1", "--dataset=small"),
    ("RebuildVersions",),
    ("CompareVersions",),
]
BAD_CONFIGURATIONS = [
    ("[recipe]\nmodle = cnn\n", "luigi.cfg [recipe] modle", "unknown key; allowed are dataset, model"),
    ("[recipe.x]\nmodel = cnn\n", "luigi.cfg [recipe.x]", "1 to 9223372036854775807"),
    ("[recipes]\nmodel = cnn\n", "luigi.cfg [recipes]", "[recipe] (all versions) and [recipe.N] (version N)"),
    ("[Recipe.1]\nmodel = cnn\n", "luigi.cfg [Recipe.1]", "[recipe] (all versions) and [recipe.N] (version N)"),
    ("[recipe 1]\nmodel = cnn\n", "luigi.cfg [recipe 1]", "[recipe] (all versions) and [recipe.N] (version N)"),
    ("[recipe.2]\nseed = many\n", "luigi.cfg [recipe.2] seed = 'many'", "a whole number from 0"),
    ("[ExportVersion]\nmodel = cnn\n", "luigi.cfg [ExportVersion] model", "belong under [recipe]"),
    ("[ExportAllVersions]\nseed = 1\n", "luigi.cfg [ExportAllVersions] seed", "belong under [recipe]"),
    ("[training]\nsegments = 5\n", "luigi.cfg [training] segments", "allowed are threads, segment"),
    ("[execution]\nworkers = 5\n", "luigi.cfg [execution] workers: unknown key", "allowed are engine, dask_scheduler"),
    ("[execution]\nengine = spark\n", "luigi.cfg [execution] engine = 'spark'", "one of dask, local"),
    ("[execution]\nengine = dask\n", "luigi.cfg [execution] engine = dask", "needs dask_scheduler beside it"),
    ("[execution]\ndask_scheduler = host\n", "[execution] dask_scheduler = 'host'", "such as tcp://host:8786"),
    ("[recipe]\nmodel = a%b\n", "luigi.cfg [recipe] model: '%' must be followed by", "is written %%"),
    ("[recipe]\nmodel = %(foo)s\n", "luigi.cfg [recipe] model: Bad value substitution", "is written %%"),
    ("[training]\nthreads = ${NO_SUCH}\n", "[training] threads: Config refers to a nonexisting environment", "NO_SUCH"),
    ("[distribution]\nbucket = s3://a%b\n", "luigi.cfg [distribution] bucket: '%' must", "is written %%"),
    ("[ExportVersion]\nbase_path = a%b\n", "luigi.cfg [ExportVersion] base_path: '%' must", "is written %%"),
    ("[ExportAllVersions]\nbase_path = a\0b\n", "base_path 'a\\x00b'", "paths in UTF-8, without a NUL"),
    ("[training]\nsegment = 0\n", "luigi.cfg [training] segment = '0'", "1 to 10,000,000"),
]


@pytest.mark.parametrize(("options", "what", "allowed"), BAD_OPTIONS, ids=lambda value: str(value)[:40])
def test_options(run_here, options, what, allowed):
    """An option with a value that makes no sense is refused before anything runs, in a last line that says why."""
    result = run_here("ExportAllVersions", *options, check=40)
    assert what in last_line(result)
    assert allowed in last_line(result)
    assert "Traceback" not in result.stderr
    assert [] == names_in(run_here.directory)


@pytest.mark.parametrize("task", TREES, ids=lambda task: task[0])
@pytest.mark.parametrize(
    ("base_path", "work_dir"),
    [
        ("models", "models"),
        ("models", "models/7"),
        ("models", "models/a/b"),
        ("models", "link/7"),
        ("work/training/0123", "work"),
    ],
)
def test_a_work_folder_in_the_tree(run_here, task, base_path, work_dir):
    """Archives and trainings must not become versions: refused before anything is made, behind a link, too."""
    (run_here.directory / "link").symlink_to("models")
    result = run_here(*task, "--base-path", base_path, "--work-dir", work_dir, check=40)
    assert f"work_dir {run_here.directory / work_dir}: " in last_line(result)
    assert "Traceback" not in result.stderr
    assert ["link"] == names_in(run_here.directory)


@pytest.mark.parametrize(
    "task", [*TREES, ("VerifyVersions",), ("PullVersions", "--bucket=b"), ("RetireVersions",)], ids=lambda task: task[0]
)
@pytest.mark.parametrize("name", ["a[b]c", "a\\b"])
def test_a_base_path_that_tensorflow_takes_for_a_pattern(run_here, task, name):
    """Neither TensorFlow nor its server would find weights there: refused before anything is made."""
    result = run_here(*task, "--base-path", name, check=40)
    expected = f"{str(run_here.directory / name)!r}: TensorFlow takes"
    assert expected in last_line(result)
    assert "Traceback" not in result.stderr
    assert [] == names_in(run_here.directory)


@pytest.mark.parametrize(("text", "what", "allowed"), BAD_CONFIGURATIONS, ids=lambda value: str(value)[:40])
def test_configuration(run_here, text, what, allowed):
    """A section, key or value of luigi.cfg that makes no sense is refused before anything runs."""
    run_here.configure(text)
    result = run_here("ExportAllVersions", "--versions", "1,2", check=40)
    assert what in last_line(result)
    assert allowed in last_line(result)
    assert ["luigi.cfg"] == names_in(run_here.directory)


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        ("", ("--versions", "3-1"), "versions '3-1': the range 3-1 runs backwards"),
        ("", ("--versions", "1", "--batch-size", "2.5"), "batch_size = '2.5': allowed is a whole number from 1"),
        ("[recipe]\nmodle = cnn\n", ("--versions", "1"), "luigi.cfg [recipe] modle: unknown key; allowed are dataset"),
    ],
    ids=["versions", "key", "luigi.cfg"],
)
def test_through_the_command_line(run_luigi, text, options, told):
    """A process of its own says the same."""
    run_luigi.configure(text)
    result = run_luigi("ExportAllVersions", *options, check=40)
    assert told in last_line(result)
    assert "Traceback" not in result.stderr
    assert ["luigi.cfg"] == names_in(run_luigi.directory)
