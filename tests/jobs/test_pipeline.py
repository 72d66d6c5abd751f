"""The chain of tasks, through the real command line, on a dataset that takes no time."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from tests import disks
from tests.conftest import ROOT, CommandLine, free_port, kill_group, last_line, names_in, read_tree

# Three versions that share one training of three segments; after a few images none of them is good.
CHAIN = """
[recipe]
dataset = small
batch_size = 2
learning_rate = 0.02
training_iteration = 6
[recipe.1]
training_iteration = 2
[recipe.2]
training_iteration = 4
[training]
segment = 2
"""
VERSION_FILES = {
    "assets.extra/golden/answers.tfrecord",
    "assets.extra/golden/classify.expected.json",
    "assets.extra/golden/classify.json",
    "assets.extra/golden/predict.expected.json",
    "assets.extra/golden/predict.json",
    "assets.extra/manifest.json",
    "assets.extra/tf_serving_warmup_requests",
    "saved_model.pb",
    "variables/variables.data-00000-of-00001",
    "variables/variables.index",
}
CHATTER = ("Warning", "I0000", "W0000", "E0000", "oneDNN", "Traceback", "NoneType", "deprecat")


def manifest_of(version: Path) -> dict:
    return json.loads((version / "assets.extra" / "manifest.json").read_text())


def iterations_in(records: list[dict]) -> list[int]:
    return [record["iterations"] for record in records if record["task"] == "TrainModel"]


def snapshot(directory: Path) -> dict[str, tuple[int, int]]:
    """Every path below a folder with its time of last change and its inode."""
    return {
        str(path.relative_to(directory)): (path.lstat().st_mtime_ns, path.lstat().st_ino)
        for path in directory.rglob("*")
    }


@pytest.fixture(scope="module")
def exported(tmp_path_factory, mirror):
    """Versions 1, 2 and 3 of CHAIN in a folder of their own, and the run that made them; not to be changed."""
    directory = tmp_path_factory.mktemp("exported")
    temporary = tmp_path_factory.mktemp("temporary")
    run = CommandLine(directory, mirror)
    run.configure(CHAIN)
    result = run("ExportAllVersions", "--versions", "1,2,3", env={"TMPDIR": str(temporary)}, check=0)
    return run, result, temporary


@pytest.fixture
def finished(exported, tmp_path, mirror):
    """A copy of `exported` that a test may change, with no records; a command line in it."""
    directory = tmp_path / "finished"
    shutil.copytree(exported[0].directory, directory)
    (directory / "work" / "records.jsonl").unlink()
    return CommandLine(directory, mirror)


class TestOneRun:
    """What one run over three versions leaves and says."""

    def test_versions_appear_in_the_base_path(self, exported):
        """Asking for versions gives their directories and nothing else."""
        run, _, _ = exported
        assert ["1", "2", "3"] == names_in(run.base)
        for version in ("1", "2", "3"):
            assert VERSION_FILES == set(read_tree(run.base / version))

    def test_recipes_come_from_luigi_cfg(self, exported):
        """Each version is made by its own [recipe.N], completed by [recipe] and the defaults."""
        run, _, _ = exported
        manifests = [manifest_of(run.base / version) for version in ("1", "2", "3")]
        assert [1, 2, 3] == [manifest["model_version"] for manifest in manifests]
        assert [2, 4, 6] == [manifest["recipe"]["training_iteration"] for manifest in manifests]
        assert {
            "dataset": "small",
            "model": "softmax",
            "training_iteration": 6,
            "batch_size": 2,
            "optimizer": "sgd",
            "learning_rate": 0.02,
            "schedule": "constant",
            "seed": 0,
        } == manifests[2]["recipe"]

    def test_training_is_shared(self, exported):
        """Versions that differ in the number of iterations alone train each iteration once, in segments."""
        run, result, _ = exported
        assert [2, 2, 2] == iterations_in(run.records())
        assert re.search(r"continues at iteration 2, to 4\b", result.stderr)
        assert re.search(r"continues at iteration 4, to 6\b", result.stderr)

    def test_log_is_a_story_without_chatter(self, exported):
        """The log names what was fetched and published; no warning, and nothing of TensorFlow's own."""
        _, result, _ = exported
        assert "" == result.stdout
        assert 4 == result.stderr.count("INFO: Fetched ")
        assert 3 == result.stderr.count("INFO: Published version ")
        assert [] == [line for line in result.stderr.splitlines() if any(word in line for word in CHATTER)]
        assert [] == [line for line in result.stderr.splitlines() if line.startswith(("WARNING", "ERROR"))]

    def test_no_file_stays_in_the_temporary_folder(self, exported):
        """A run leaves nothing in TMPDIR."""
        assert [] == names_in(exported[2])

    def test_nothing_but_results_stays_in_the_work_folder(self, exported):
        """The work folder holds archives, arrays, segments and records, and nothing half-written."""
        work = exported[0].directory / "work"
        assert ["archives", "datasets", "records.jsonl", "training"] == names_in(work)
        assert [] == [path for path in work.rglob("*") if path.name.startswith(".")]

    def test_one_training_alone_gives_the_same_bytes(self, exported, run_luigi):
        """A version trained without a stop equals, byte for byte, the one that was continued from others."""
        run_luigi.configure(CHAIN.replace("segment = 2", "segment = 1000"))
        run_luigi("ExportVersion", "--version", "3", check=0)
        assert [6] == iterations_in(run_luigi.records())
        assert read_tree(exported[0].base / "3") == read_tree(run_luigi.base / "3")


class TestRunAgain:
    """What a run does where versions are there already."""

    @pytest.fixture
    def without_tensorflow(self, tmp_path):
        """An environment in which importing TensorFlow fails."""
        (tmp_path / "trap").mkdir()
        (tmp_path / "trap" / "tensorflow.py").write_text("raise AssertionError('TensorFlow was imported')\n")
        return {"PYTHONPATH": f"{tmp_path / 'trap'}{os.pathsep}{ROOT}"}

    @pytest.mark.parametrize("versions", ["1,2,3", "1-3", "3,1-2,2"])
    def test_does_nothing(self, finished, without_tensorflow, versions):
        """Versions that are there are left as they are, however the set is written, and TensorFlow stays out."""
        before = snapshot(finished.directory)
        result = finished("ExportAllVersions", "--versions", versions, env=without_tensorflow, check=0)
        assert "Did not run any tasks" in result.stderr
        assert before == snapshot(finished.directory)

    def test_the_trap_for_tensorflow_works(self, finished, without_tensorflow):
        """A run that has something to export does import TensorFlow, so the test above can fail."""
        assert 0 != finished("ExportVersion", "--version", "4", env=without_tensorflow).returncode

    def test_makes_only_what_is_missing(self, finished):
        """A further version is the only one that is made, and it finds its training."""
        before = snapshot(finished.base)
        finished("ExportAllVersions", "--versions", "1-4", check=0)
        assert ["ExportVersion"] == [record["task"] for record in finished.records()]
        assert "4" == finished.records()[0]["parameters"]["version"]
        after = snapshot(finished.base)
        assert before == {path: state for path, state in after.items() if path in before}
        assert ["1", "2", "3", "4"] == names_in(finished.base)

    def test_damaged_segments_are_trained_again(self, exported, finished):
        """A segment cut short and one with a flipped bit are made again, with a warning, and the result is the same."""
        (lineage,) = (finished.directory / "work" / "training").iterdir()
        short, flipped = lineage / "2" / "state.npz", lineage / "4" / "state.npz"
        short.write_bytes(short.read_bytes()[:-100])
        content = bytearray(flipped.read_bytes())
        content[len(content) // 2] ^= 1
        flipped.write_bytes(content)
        shutil.rmtree(lineage / "6")
        shutil.rmtree(finished.base / "3")
        result = finished("ExportVersion", "--version", "3", check=0)
        assert [2, 2, 2] == iterations_in(finished.records())
        for segment in ("2", "4"):
            assert f"WARNING: {lineage / segment} is damaged; this segment is trained again" in result.stderr
        original = exported[0].directory
        assert read_tree(original / "models") == read_tree(finished.directory / "models")
        assert read_tree(original / "work" / "training") == read_tree(finished.directory / "work" / "training")


class TestConflicts:
    """A version directory that is there and is not what is asked for."""

    def test_fails_that_version_alone(self, finished):
        """Another recipe, a foreign folder and a plain file fail their versions, untouched; the next one is made."""
        finished.configure(CHAIN.replace("[recipe.1]", "[recipe.1]\nseed = 7\nlearning_rate = 0.25"))
        for version in ("2", "3"):
            shutil.rmtree(finished.base / version)
        (finished.base / "2").mkdir()
        (finished.base / "2" / "saved_model.pb").write_bytes(b"somebody else's")
        (finished.base / "3").write_bytes(b"a file")
        before = snapshot(finished.base)

        result = finished("ExportAllVersions", "--versions", "1,2,3,4", check=30)

        after = snapshot(finished.base)
        assert before == {path: state for path, state in after.items() if path in before}
        assert ["1", "2", "3", "4"] == names_in(finished.base)
        assert 4 == manifest_of(finished.base / "4")["model_version"]
        assert ["ExportVersion"] == [record["task"] for record in finished.records()]
        told = result.stderr.rstrip().splitlines()[-3:]
        first, second, third = sorted(told)
        assert f"ERROR: ExportVersion: {finished.base / '1'} is there with another recipe: " in first
        assert "learning_rate is 0.02, asked for 0.25" in first
        assert "seed is 0, asked for 7" in first
        assert "training_iteration" not in first
        assert f"{finished.base / '2'} is there, but was not made by this pipeline" in second
        assert f"{finished.base / '3'} is there, but was not made by this pipeline" in third
        for line, version in zip((first, second, third), "123", strict=True):
            assert "nothing was overwritten" in line
            assert "another version number or another --base-path" in line
            assert f"remove {finished.base / version} if no server uses it" in line
        assert "Traceback" not in result.stderr

    def test_the_command_line_wins_over_luigi_cfg(self, finished):
        """A key given as an option wins over [recipe.N]; Luigi's own precedence of exit codes holds."""
        finished.configure(CHAIN + "[retcode]\ntask_failed = 77\n")
        result = finished("ExportVersion", "--version", "2", "--training-iteration", "5", check=77)
        assert "training_iteration is 4, asked for 5" in last_line(result)

    def test_every_key_is_an_option(self, finished):
        """Each key of a recipe can be given on the command line, where the same recipe finds the same version."""
        options = (
            "--dataset=small --model=softmax --training-iteration=6 --batch-size=2 --optimizer=sgd "
            "--learning-rate=2e-2 --ExportVersion-schedule=constant --seed=0 --min-accuracy=0 --threads=1"
        )
        finished.configure("")
        result = finished("ExportVersion", "--version=3", *options.split(), check=0)
        assert "Did not run any tasks" in result.stderr

    def test_a_gate_set_later_is_told(self, finished):
        """A published version below the min_accuracy now asked for fails with both numbers."""
        accuracy = manifest_of(finished.base / "1")["metrics"]["validation"]["accuracy"]
        result = finished("ExportVersion", "--version", "1", "--min-accuracy", "1", check=30)
        assert f"{accuracy:.4f}, below the min_accuracy of 1.0" in last_line(result)

    def test_a_gate_that_it_passes_is_no_difference(self, finished):
        """min_accuracy shapes no byte: a published version that passes it is complete."""
        result = finished("ExportVersion", "--version", "3", "--min-accuracy", "0.1", check=0)
        assert "Did not run any tasks" in result.stderr


def test_a_model_below_its_gate_is_not_published(run_luigi):
    """The error names validation accuracy and min_accuracy, the exit code is 30, the base path stays empty."""
    run_luigi.configure(CHAIN)
    result = run_luigi("ExportVersion", "--version", "1", "--min-accuracy", "0.9999", check=30)
    assert re.search(r"validation accuracy of 0\.\d{4} is below the min_accuracy of 0\.9999", last_line(result))
    assert [] == names_in(run_luigi.base)


class TestScheduler:
    """With a real central scheduler, and without the one that was expected."""

    @pytest.mark.parametrize("workers", [1, 2])
    def test_runs_under_a_central_scheduler(self, exported, run_luigi, luigid, workers):
        """With luigid the same bytes come out, and its page shows every task as done."""
        server = luigid()
        run_luigi.configure(CHAIN)
        address = ("--scheduler-port", server.port, "--workers", workers)
        run_luigi("ExportAllVersions", "--versions", "1-3", *address, local_scheduler=False, check=0)
        assert read_tree(exported[0].base) == read_tree(run_luigi.base)
        families = {"DownloadDataset", "PrepareDataset", "TrainModel", "ExportVersion", "ExportAllVersions"}
        assert families == server.tasks("DONE")
        assert set() == server.tasks("FAILED")

    @pytest.mark.parametrize("listens", [False, True])
    def test_a_missing_scheduler_is_told_soon(self, run_luigi, listens):
        """Where nothing listens, or something that never answers, the run ends within 10 s and says what to do."""
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            if listens:
                silent.listen()
            port = silent.getsockname()[1]
            for _attempt in range(3):  # other tests run beside this one
                began = time.monotonic()
                result = run_luigi("ExportAllVersions", "--versions=1", "--scheduler-port", port, local_scheduler=False)
                seconds = time.monotonic() - began
                if seconds < 10:
                    break
        assert 10 > seconds
        assert 40 == result.returncode
        assert "luigid --address 127.0.0.1" in last_line(result)
        assert "add --local-scheduler" in last_line(result)
        assert "Traceback" not in result.stderr
        assert "NoneType" not in result.stderr

    @pytest.mark.parametrize("workers", [1, 2])
    def test_a_training_survives_its_scheduler(self, run_luigi, luigid, workers):
        """A scheduler that goes away in mid-training fails the run, not the training: its segment is there."""
        run_luigi.configure("[recipe]\ndataset = small\ntraining_iteration = 30000\n[training]\nsegment = 30000\n")
        server = luigid()
        process = run_luigi.start(
            "ExportVersion", "--version=1", "--scheduler-port", server.port, "--workers", workers, local_scheduler=False
        )
        log = []
        try:
            for line in process.stderr:
                log.append(line)
                if "running   TrainModel" in line:
                    server.process.kill()
            assert 40 == process.wait(timeout=60)
        finally:
            kill_group(process)
        text = "".join(log)
        assert "The scheduler does not answer; TrainModel(" in text
        assert "goes on without showing its progress" in text
        assert "luigid --address 127.0.0.1" in log[-1]
        assert [30000] == iterations_in(run_luigi.records())
        (lineage,) = (run_luigi.directory / "work" / "training").iterdir()
        assert ["30000"] == names_in(lineage)


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
    (("--versions", "1", "--ExportAllVersions-schedule", "step"), "schedule = 'step'", "constant, cosine, linear"),
    (("--versions", "1", "--training-iteration", "0"), "training_iteration = '0'", "1 to 10,000,000"),
    (("--versions", "1", "--training-iteration", "-5"), "training_iteration = '-5'", "1 to 10,000,000"),
    (("--versions", "1", "--batch-size", "2.5"), "batch_size = '2.5'", "a whole number from 1"),
    (("--versions", "1", "--learning-rate", "nan"), "learning_rate = 'nan'", "a finite number above 0"),
    (("--versions", "1", "--learning-rate", "0"), "learning_rate = '0'", "a finite number above 0"),
    (("--versions", "1", "--min-accuracy", "1.5"), "min_accuracy = '1.5'", "a number from 0 to 1"),
    (("--versions", "1", "--seed", "-1"), "seed = '-1'", "0 to 4,294,967,295"),
    (("--versions", "1", "--threads", "0"), "threads = '0'", "1 to 256"),
    (("--versions", "1", "--dataset", "small", "--batch-size", "501"), "batch_size = 501", "1 to 500"),
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
    ("[training]\nsegment = 0\n", "luigi.cfg [training] segment = '0'", "1 to 10,000,000"),
]


class TestBadInput:
    """The last line says what, where and what is allowed; the exit code is not 0; the base path holds nothing new."""

    @pytest.mark.parametrize(("options", "what", "allowed"), BAD_OPTIONS, ids=lambda value: str(value)[:40])
    def test_options(self, run_luigi, options, what, allowed):
        """An option with a value that makes no sense is refused before anything runs."""
        result = run_luigi("ExportAllVersions", *options, check=40)
        assert what in last_line(result)
        assert allowed in last_line(result)
        assert "Traceback" not in result.stderr
        assert [] == names_in(run_luigi.directory)

    @pytest.mark.parametrize(("text", "what", "allowed"), BAD_CONFIGURATIONS, ids=lambda value: str(value)[:40])
    def test_configuration(self, run_luigi, text, what, allowed):
        """A section, key or value of luigi.cfg that makes no sense is refused before anything runs."""
        run_luigi.configure(text)
        result = run_luigi("ExportAllVersions", "--versions", "1,2", check=40)
        assert what in last_line(result)
        assert allowed in last_line(result)
        assert ["luigi.cfg"] == names_in(run_luigi.directory)

    def test_base_path_that_is_a_file(self, run_luigi):
        """A file where the base path should be is named, left alone, and nothing is trained."""
        file = run_luigi.directory / "file"
        file.write_bytes(b"mine")
        for base in (file, file / "mnist"):
            result = run_luigi("ExportVersion", "--version", "1", "--dataset", "small", "--base-path", base, check=30)
            assert f"{file} is a file where a folder is needed" in last_line(result)
        assert b"mine" == file.read_bytes()
        assert ["file"] == names_in(run_luigi.directory)

    def test_base_path_that_is_not_writable(self, run_luigi, closed_folder):
        """A base path that cannot be written is named, and nothing is trained."""
        result = run_luigi("ExportVersion", "--version=1", "--dataset=small", "--base-path", closed_folder / "mnist")
        assert 30 == result.returncode
        assert f"{closed_folder} is not writable for this user" in last_line(result)
        assert [] == names_in(closed_folder)
        assert [] == run_luigi.records()

    @pytest.mark.parametrize("kilobytes", [16, 40, 60, 100])
    def test_full_disk(self, run_luigi, tmp_path, kilobytes):
        """A disk that is full while weights, graph, warm-up or golden answers are written fails the version alone."""
        with disks.mounted(tmp_path / "small_disk", size=kilobytes << 10) as small_disk:
            run_luigi.configure(CHAIN)
            result = run_luigi("ExportVersion", "--version=1", "--base-path", small_disk, check=30)
            told = (
                f"ERROR: ExportVersion: {small_disk / '1'}: No space left on device; make room or choose another place"
            )
            assert told == last_line(result)
            assert "Traceback" not in result.stderr
            assert [] == names_in(small_disk)

    def test_full_disk_under_the_work_folder(self, run_luigi, tmp_path):
        """A disk that is full while archives are copied or arrays are written fails that task and is named."""
        with disks.mounted(tmp_path / "small_disk", size=500 << 10) as small_disk:
            result = run_luigi("PrepareDataset", "--dataset=small", "--work-dir", small_disk, check=30)
            assert f"ERROR: PrepareDataset: {small_disk}" in last_line(result)
            assert "No space left on device; make room" in last_line(result)


@pytest.fixture
def closed_folder(tmp_path):
    """An empty folder in which this user may not write; permissions do not bind root, a read-only disk does."""
    closed = tmp_path / "closed"
    if os.geteuid() == 0:
        with disks.mounted(closed, size=1 << 20, mode="ro"):
            yield closed
    else:
        closed.mkdir(mode=0o500)
        yield closed
        closed.chmod(0o700)


class TestData:
    """Archives from mirrors, through the command line."""

    def test_no_mirror_answers(self, run_luigi, http_server, tmp_path):
        """The error names each mirror with its reason, and the three ways out."""
        empty = tmp_path / "empty"
        empty.mkdir()
        pages = tmp_path / "pages"
        pages.mkdir()
        for name in ("train-images", "train-labels", "t10k-images", "t10k-labels"):
            kind = "idx3" if "images" in name else "idx1"
            (pages / f"{name}-{kind}-ubyte.gz").write_text("<!DOCTYPE html><html>please log in</html>")
        nobody = f"http://127.0.0.1:{free_port()}/"
        without, with_pages = http_server(empty), http_server(pages)
        mirrors = ",".join([nobody, without, with_pages, str(empty)])
        result = run_luigi("PrepareDataset", "--dataset=small", f"--DownloadDataset-mirrors={mirrors}", check=30)
        told = last_line(result)
        assert f"{nobody}: no connection" in told
        assert f"{without}: HTTP status 404" in told
        assert f"{with_pages}: a web page is there instead of the file" in told
        assert f"{empty}: No such file" in told
        assert "--DownloadDataset-mirrors" in told
        archives = run_luigi.directory / "work" / "archives" / "small"
        assert f"into {archives} yourself" in told
        assert "--dataset digits" in told
        assert [] == names_in(archives)

    def test_damaged_arrays_are_decoded_again(self, run_luigi):
        """A byte that flipped in an array is found before anything is trained on it, and the result is the same."""
        options = ("ExportVersion", "--version=1", "--dataset=small", "--training-iteration=20")
        run_luigi(*options, check=0)
        whole = read_tree(run_luigi.base)
        (arrays,) = (run_luigi.directory / "work" / "datasets").iterdir()
        for name in ("training_images.npy", "validation_labels.npy"):
            shutil.rmtree(run_luigi.base)
            shutil.rmtree(run_luigi.directory / "work" / "training")
            content = bytearray((arrays / name).read_bytes())
            content[-1] ^= 0xFF
            (arrays / name).write_bytes(content)
            result = run_luigi(*options, check=0)
            assert f"WARNING: {arrays} is damaged; the archives are decoded again" in result.stderr
            assert whole == read_tree(run_luigi.base)

    def test_the_next_mirror_is_tried(self, run_luigi, http_server, mirror, tmp_path):
        """A mirror with wrong bytes is passed over with a warning, and nothing of it is kept."""
        wrong = tmp_path / "wrong"
        shutil.copytree(mirror, wrong)
        (wrong / "t10k-labels-idx1-ubyte.gz").write_bytes((mirror / "t10k-labels-idx1-ubyte.gz").read_bytes()[:-9])
        mirrors = f"{wrong},{http_server(mirror)}"
        result = run_luigi("PrepareDataset", "--dataset=small", f"--DownloadDataset-mirrors={mirrors}", check=0)
        assert f"WARNING: No t10k-labels-idx1-ubyte.gz from {wrong}: " in result.stderr
        assert read_tree(mirror) == read_tree(run_luigi.directory / "work" / "archives" / "small")

    @pytest.mark.parametrize(
        ("damage", "what"),
        [
            ("files[0] = files[0][:2000]", "truncated"),
            ("files[0] = files[0] + b'x'", "bytes left over"),
            ("files[0], files[1] = files[1], files[0]", "are two files swapped?"),
            ("files[1] = b'<html>not found</html>'", "a web page is there instead"),
            ("files[1] = files[3]", "600 images, but 200 labels"),
            ("files[0], files[1] = files[2], files[3]", "200 images, and dataset 'bad' declares 600"),
        ],
    )
    def test_archives_that_are_not_what_they_claim(self, run_luigi, tmp_path, damage, what):
        """Archives with the right checksum and wrong content are refused in a line that names the file."""
        module = """
            import dataclasses, gzip, hashlib, pathlib
            from tests import small
            from tests.small import tasks

            files = [gzip.decompress(content) for content in small.ARCHIVES.values()]
            {damage}
            mirror = pathlib.Path("bad-mirror")
            mirror.mkdir(exist_ok=True)
            archives = []
            for name, content in zip(small.ARCHIVES, files):
                (mirror / name).write_bytes(content)
                archives.append(small.Archive(name, hashlib.sha256(content).hexdigest()))
            parts = ("train_images", "train_labels", "test_images", "test_labels")
            small.DATASETS["bad"] = dataclasses.replace(small.SMALL, name="bad", **dict(zip(parts, archives)))
        """
        (tmp_path / "bad_data.py").write_text(textwrap.dedent(module).format(damage=damage))
        result = run_luigi(
            "PrepareDataset",
            "--dataset=bad",
            "--DownloadDataset-mirrors=bad-mirror",
            module="bad_data",
            env={"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
            check=30,
        )
        assert what in last_line(result)
        assert str(run_luigi.directory / "work" / "archives" / "bad") in last_line(result)
        assert [] == names_in(run_luigi.directory / "work" / "datasets")


class TestSafety:
    """Whatever happens, what bears a number in the base path is whole."""

    def test_a_reader_never_sees_half_a_version(self, exported, run_luigi):
        """Another process that looks every 10 ms can load every version as soon as it sees its name."""
        run_luigi.configure(CHAIN)
        run_luigi.base.mkdir(parents=True)
        with subprocess.Popen(
            [sys.executable, "-m", "tests.reader", "watch", str(run_luigi.base)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as reader:
            assert "watching\n" == reader.stdout.readline()
            run_luigi("ExportAllVersions", "--versions", "1-8", "--workers", "2", check=0)
            answer, _ = reader.communicate(timeout=60)
        assert 0 == reader.returncode
        assert set("12345678") == set(json.loads(answer))
        assert read_tree(exported[0].base / "2") == read_tree(run_luigi.base / "2")

    def test_four_processes_at_once(self, exported, run_luigi):
        """Four runs over the same versions without a central scheduler all succeed, and make one tree."""
        run_luigi.configure(CHAIN)
        processes = [run_luigi.start("ExportAllVersions", "--versions", "1-3") for _ in range(4)]
        logs = [None] * 4

        def read(number):
            logs[number] = processes[number].communicate(timeout=120)[1]

        readers = [threading.Thread(target=read, args=(number,)) for number in range(4)]
        for thread in readers:
            thread.start()
        for thread in readers:
            thread.join()
        assert [0, 0, 0, 0] == [process.returncode for process in processes], "\n\n".join(logs)
        assert [] == [line for log in logs for line in log.splitlines() if line.startswith(("ERROR", "Traceback"))]
        assert ["1", "2", "3"] == names_in(run_luigi.base)
        assert read_tree(exported[0].base) == read_tree(run_luigi.base)
        assert [] == list(run_luigi.directory.rglob(".aside-*"))

    def test_killed_runs_leave_nothing_behind(self, exported, run_luigi):
        """However often a run is killed at whatever moment, the next one makes the same bytes and tidies up."""
        run_luigi.configure(CHAIN)
        # seconds from a line of the log to the kill: in a training, in an export, between two. In the last one
        # the parent alone is killed, so that its children still work while the next run does.
        moments = [
            ("running   TrainModel", 0.25, kill_group),
            ("running   ExportVersion", 0.1, kill_group),
            ("Published", 0.15, kill_group),
            ("Published", 0, subprocess.Popen.kill),
        ]
        for sign, delay, kill in moments:
            process = run_luigi.start("ExportAllVersions", "--versions", "1-3", "--workers", "2")
            for line in process.stderr:
                if sign in line:
                    time.sleep(delay)
                    break
            kill(process)
            for name in names_in(run_luigi.base):
                assert name.startswith(".aside-") or VERSION_FILES == set(read_tree(run_luigi.base / name))
        run_luigi("ExportAllVersions", "--versions", "1-4", "--workers", "2", check=0)
        kill_group(process)
        assert ["1", "2", "3", "4"] == names_in(run_luigi.base)
        for version in ("1", "2", "3"):
            assert read_tree(exported[0].base / version) == read_tree(run_luigi.base / version)
        assert [] == list(run_luigi.directory.rglob(".aside-*"))


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_recipe_gives_the_same_bytes(tmp_path, mirror, threads):
    """Two processes, one of them on a single core, in other folders, write identical versions, manifest included."""
    trees = []
    for number, prefix in enumerate([(), ("taskset", "-c", "0")]):
        directory = tmp_path / str(number)
        directory.mkdir()
        run = CommandLine(directory, mirror)
        run.configure("[recipe]\ndataset = small\ntraining_iteration = 12\n[recipe.2]\nmodel = cnn\nbatch_size = 64\n")
        run("ExportAllVersions", "--versions=1,2", "--threads", threads, prefix=prefix, check=0)
        trees.append(read_tree(run.base))
    assert 2 * len(VERSION_FILES) == len(trees[0])
    assert trees[0] == trees[1]


def test_an_architecture_of_ones_own(run_luigi, tmp_path):
    """One function in a module of one's own is trained and exported; once edited, it does not find the old weights."""
    source = """
        import tasks
        from tests import small
        from tasks.model.architectures import architecture


        @architecture(optimizer="momentum", learning_rate=0.01)
        def tanh_layer(images, weight):
            import tensorflow as tf

            hidden = tf.tanh(images @ weight("hidden", [784, 16], fan_in=784))
            return hidden @ weight("logits", [16, 10], fan_in=16)
    """
    module = tmp_path / "my_models.py"
    module.write_text(textwrap.dedent(source))
    run_luigi.configure("[recipe]\ndataset = small\nmodel = tanh_layer\ntraining_iteration = 5\n")
    options = {"module": "my_models", "env": {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}, "check": 0}
    run_luigi("ExportVersion", "--version=1", **options)
    recipe = manifest_of(run_luigi.base / "1")["recipe"]
    assert ("tanh_layer", "momentum", 0.01) == (recipe["model"], recipe["optimizer"], recipe["learning_rate"])
    module.write_text(textwrap.dedent(source).replace("tf.tanh", "tf.nn.relu"))
    run_luigi("ExportVersion", "--version=2", **options)
    assert [5, 5] == iterations_in(run_luigi.records())
    assert 2 == len(names_in(run_luigi.directory / "work" / "training"))
