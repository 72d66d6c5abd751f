"""Every command of the documentation is run as it stands, or a comment above it says what it would need.

Each page is followed from its top, in one folder of its own: its files are written, its commands are run by a shell.
What makes that quick is a luigi.cfg with the embedded digits and few iterations. Where a page asks a server at
localhost, the server of these tests stands in, which follows its config file by the rules of TensorFlow Serving.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time

import pytest

import tasks
from tasks.serving.config_file import find_model, read_config
from tests.conftest import BIN, ROOT, names_in
from tests.docs.pages import NAMES, PAGES, blocks
from tests.model_server import ModelServer

QUICK = "[recipe]\ndataset = digits\ntraining_iteration = 20\n"
OWN_MARKS = ("command ", "not run: needs ", "layers", "file ")
SERVING = """model_config_list {{ config {{ name: "mnist" base_path: "{base_path}" model_platform: "tensorflow"
    model_version_policy {{ all {{}} }} }} }}"""
LUIGI = ["luigi", "--module", "tasks"]
RELEASE_TASKS = {name for name in tasks.__all__ if issubclass(getattr(tasks, name), tasks.release.ReleaseTask)}
RELEASING = "docs/releasing.md"
OPERATIONS = "docs/operations.md"  # followed in test_operations
ANSWERED = re.compile(r"localhost:850[01]")


class Reader:
    """Somebody who does what a page says, in a folder; `release` runs the tasks of a release without a new process."""

    def __init__(self, directory, release):
        self.directory, self.release, self.server = directory, release, None
        (directory / "luigi.cfg").write_text(QUICK)

    def in_shell(self, text):
        """Run commands as they stand, but for where the server and this checkout are; gives what they printed."""
        text = self.redirected(text.replace("PYTHONPATH=. ", f"PYTHONPATH=.{os.pathsep}{ROOT} "))
        commands = [shlex.split(line) for line in text.replace("\\\n", " ").splitlines()]
        if all(command[:3] == LUIGI and command[3] in RELEASE_TASKS for command in commands):
            return "".join(self.release(*command[3:-1]) for command in commands)
        return self.run("bash", "-euo", "pipefail", "-c", text)

    def run(self, *command):
        result = subprocess.run(
            command,
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert 0 == result.returncode, f"{command[-1]}\n{result.stdout}\n{result.stderr}"
        return result.stdout

    def redirected(self, text):
        """The text with the address of the server that runs."""
        if self.server is None:
            assert not ANSWERED.search(text), f"nothing answers there: {text}"
            return text
        return text.replace("localhost:8500", self.server.address).replace("http://localhost:8501", self.server.url)

    def follow(self, name):
        """Write the files of a page and run its commands; gives (block, what it printed) for each."""
        for block in blocks(name):
            if block.mark.startswith(("command ", "not run: ")):
                continue
            if block.mark.startswith("file "):
                (self.directory / block.mark.removeprefix("file ")).write_text(block.text)
            elif block.language == "python":
                yield block, self.run(sys.executable, "-c", self.redirected(block.text))
            elif block.language == "sh":
                yield block, self.in_shell(block.text)
            elif block.language == "text":
                yield block, ""

    def export(self, versions="1-3"):
        """Make versions where a reader has them after the first commands."""
        self.in_shell(f"luigi --module tasks ExportAllVersions --versions {versions} --local-scheduler")


@pytest.fixture
def reader(tmp_path, release):
    return Reader(tmp_path, release)


@pytest.fixture
def served(reader, tmp_path):
    """A reader whose server has the versions 1 to 3 loaded, and who asks it with curl."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not on the PATH")
    reader.export()
    config = tmp_path / "served.config"
    config.write_text(SERVING.format(base_path=tmp_path / "models" / "mnist"))
    with ModelServer(config) as reader.server:
        wait_until(lambda: reader.server.serving() == [1, 2, 3])
        yield reader


def wait_until(condition, seconds=30):
    """Wait for what the server does in a thread of its own."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, condition
        time.sleep(0.05)


@pytest.mark.parametrize("name", NAMES)
def test_marks_are_known(name):
    """A comment above a block says which file it is, or why it is not run: .ci/run runs it, or what it needs."""
    unknown = [block.mark for block in blocks(name) if block.mark and not block.mark.startswith(OWN_MARKS)]
    assert [] == unknown


def test_every_page_with_commands_is_followed():
    """A page whose commands are not all marked is one of those that the tests below follow."""
    followed = {
        name
        for name in NAMES
        for block in blocks(name)
        if block.language in {"sh", "python"} and not block.mark.startswith(("command ", "not run: "))
    }
    assert followed <= {
        "README.md",
        "docs/recipes.md",
        "docs/publishing.md",
        "docs/comparing.md",
        "docs/verification.md",
        "docs/signing.md",
        "docs/distribution.md",
        OPERATIONS,
        RELEASING,
    }
    assert [path for path in PAGES if "```bash" in path.read_text() or "```console" in path.read_text()] == []


@pytest.mark.long
def test_readme(served):
    """The README from its top: export, ask, promote, roll back, verify."""
    printed = [text for _, text in served.follow("README.md")]
    scores = json.loads(printed[1])["predictions"]
    assert pytest.approx(1, abs=1e-5) == sum(scores[0])
    assert "      1  good " in printed[-1]


@pytest.mark.long
def test_recipes(reader):
    """A recipe on the command line, a model and a dataset of one's own, alone and together."""
    reader.in_shell("luigi --module tasks DownloadDataset --local-scheduler")  # as the first command has
    printed = [text for _, text in reader.follow("docs/recipes.md") if text]
    assert [] == [text for text in printed if " failed" in text]
    text = next(text for text in printed if "made again" in text)
    (declared,) = [block.text for block in blocks("docs/recipes.md") if block.mark == "file my_colours.py"]
    assert re.findall(r"\b([0-9a-f]{64}) ([0-9]+)", text) == re.findall(r'"([0-9a-f]{64})", ([0-9]+)', declared)
    assert re.search(r"^ *1 +good +colour_cnn +1\.0000 +1\.0000$", text, re.MULTILINE)
    assert re.search(r"^ *1 +equal$", text, re.MULTILINE)
    manifest = json.loads((reader.directory / "models/colours/1/assets.extra/manifest.json").read_text())
    assert ["embed", "predict_images", "serving_default"] == sorted(manifest["signatures"])
    for path, key, value in (
        ("mnist/4", "training_iteration", 30),
        ("mnist/10", "model", "two_layers"),
        ("mine/1", "dataset", "mine"),
        ("colours/1", "model", "colour_cnn"),
    ):
        manifest = reader.directory / "models" / path / "assets.extra" / "manifest.json"
        assert value == json.loads(manifest.read_text())["recipe"][key]


@pytest.mark.long
def test_publishing(served):
    """The golden answers, asked for with curl and from Python, are those of the export."""
    (_, by_curl), _ = served.follow("docs/publishing.md")
    found, expected, found_classes, expected_classes = map(json.loads, by_curl.splitlines())
    for row, expected_row in zip(found["predictions"], expected["predictions"], strict=True):
        assert pytest.approx(expected_row, abs=1e-4) == row
    for row, expected_row in zip(found_classes["results"], expected_classes["results"], strict=True):
        assert pytest.approx(dict(expected_row), abs=1e-4) == dict(row)


@pytest.mark.long
def test_verification(reader):
    """Versions are verified, and made again with the same bytes."""
    reader.export()
    printed = [text for block, text in reader.follow("docs/verification.md") if block.language == "sh"]
    assert "      3  good " in printed[0]
    assert ["1", "equal", "2", "equal", "3", "equal"] == printed[1].split()[3:]


@pytest.mark.long
def test_comparing(reader):
    """The page lies where it says, and the rows are JSON."""
    reader.export()
    list(reader.follow("docs/comparing.md"))
    assert "<h1>" in (reader.directory / "work" / "comparison.html").read_text()
    assert "<h1>" in (reader.directory / "versions.html").read_text()
    assert 3 == len(json.loads((reader.directory / "versions.json").read_text())["rows"])


@pytest.mark.long
def test_distribution(reader):
    """Versions go to a folder that stands for a bucket, and the newest two come from there."""
    printed = [text for block, text in reader.follow("docs/distribution.md") if block.language == "sh"]
    assert ["good"] * 3 == re.findall(r"^ *\d+ +(good|warning|error) ", printed[-1], re.MULTILINE)
    assert ["2", "3"] == names_in(reader.directory / "served" / "mnist")


@pytest.mark.long
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not on the PATH")
def test_signing(reader):
    """A key is made, two versions are signed with it, and this package and openssl both find them signed."""
    reader.export("1,2")
    printed = [text for block, text in reader.follow("docs/signing.md") if block.language == "sh"]
    assert ["good"] * 2 == re.findall(r"^ *\d+ +(good|warning|error) ", printed[0], re.MULTILINE)
    assert "Signature Verified Successfully" in printed[1]


@pytest.mark.long
def test_releasing(reader):
    """The story: the config file and what is printed are as the page shows them, and the server follows each step."""
    config_path = reader.directory / "models" / "models.config"
    base_path = reader.directory / "models" / "mnist"
    steps = reader.follow(RELEASING)
    next(steps)  # exports two versions, and writes the first config file
    printed = ""
    with ModelServer(config_path) as reader.server:
        wait_until(lambda: reader.server.serving() == [2])  # without a policy the newest alone
        for block, text in steps:
            if block.language == "sh":
                printed = text or printed
            elif "version_labels" in block.text:
                model = find_model(read_config(config_path), base_path)
                assert "".join(block.text.split()) == "".join(_without_name(model).split())
                wait_until(
                    lambda model=model: (
                        {("mnist", label): to for label, to in model.version_labels.items()} == reader.server.labels
                    )
                )
                wait_until(
                    lambda model=model: list(model.model_version_policy.specific.versions) == reader.server.serving()
                )
            else:
                shown = reader.redirected(block.text).replace("/srv/models", str(reader.directory / "models"))
                assert _without_sizes(shown) in _without_sizes(printed)
        assert [] == reader.server.refusals
    assert ["1.denied", "2", "4"] == sorted(path.name for path in base_path.iterdir())
    log = [json.loads(line) for line in (config_path.parent / "releases.jsonl").read_text().splitlines()]
    (told,) = [block.text for block in blocks(RELEASING) if block.language == "json"]
    assert [
        tuple(re.search(rf'"{key}": ([^,]*),', line)[1] for key in ("label", "from", "to", "why"))
        for line in told.splitlines()
    ] == [tuple(json.dumps(entry[key]) for key in ("label", "from", "to", "why")) for entry in log[:6]]


def _without_name(model):
    from google.protobuf import text_format

    rest = type(model)()
    rest.CopyFrom(model)
    for field in ("name", "base_path", "model_platform"):
        rest.ClearField(field)
    lines = []
    for label, version in sorted(rest.version_labels.items()):
        lines.append(f'version_labels {{ key: "{label}" value: {version} }}')
    rest.ClearField("version_labels")
    return "\n".join([text_format.MessageToString(rest, as_one_line=True), *lines])


def _without_sizes(text):
    return re.sub(r"[0-9.]+ MiB", "... MiB", text)
