"""Parameters: what they read, what they write, and how they refuse."""

import socket
from pathlib import Path

import luigi
import pytest
from luigi.cmdline_parser import CmdlineParser
from luigi.configuration import get_config

from tasks import PromoteVersion, VerifyVersions
from tasks.errors import InvalidParameter
from tasks.recipes.checks import whole_number
from tasks.recipes.recipe import KEYS
from tasks.storage.object_store import parse_url
from tasks.wiring.parameters import (
    CheckedParameter,
    DistributionParameter,
    FlagParameter,
    FolderParameter,
    HostParameter,
    ListOfStringsParameter,
    RecipeParameter,
    VersionParameter,
    VersionsParameter,
)

LARGEST = 2**63 - 1


class Distributing(luigi.Task):
    """A task that looks into a bucket."""

    bucket = DistributionParameter("where", parse_url)
    elsewhere = DistributionParameter("where not", parse_url, default="")
    host = HostParameter()


class Everything(luigi.Task):
    """A task with each kind of parameter."""

    version = VersionParameter()
    versions = VersionsParameter(default=())
    folder = FolderParameter(default="somewhere")
    texts = ListOfStringsParameter(default=())
    learning_rate = RecipeParameter(KEYS["learning_rate"])
    count = CheckedParameter(whole_number(1, 9), 3, "a number")
    force = FlagParameter()


@pytest.mark.parametrize("versions", [(1,), (1, 2), (1, 2, 3), (1, 3, 5, 6, 7, 9, 10, LARGEST), tuple(range(1, 10001))])
def test_versions_that_are_written_are_read_again(versions):
    """What `serialize` writes is read: Luigi hands tasks to its workers this way."""
    parameter = VersionsParameter()
    assert versions == parameter.normalize(parameter.parse(parameter.serialize(versions)))


@pytest.mark.parametrize("given", ["1-3", [3, 2, 1], (1, 2, 3), {1, 2, 3}, range(1, 4), ["1", "2", "3"]])
def test_versions_are_taken_in_any_form(given):
    """In a call, a text and any series of numbers are the same set, and make the same task."""
    assert Everything(version=1, versions="1,2,3").task_id == Everything(version=1, versions=given).task_id


def test_one_version_is_a_set():
    """A single number needs no comma."""
    assert (7,) == Everything(version=1, versions=7).versions


def test_no_versions_are_nothing():
    """Not given is not the same as a text that cannot be read."""
    assert () == Everything(version=1).versions


@pytest.mark.parametrize("given", [0, -1, 1.5, "a", None, True, LARGEST + 1])
def test_a_call_with_a_bad_version_is_refused(given):
    """Versions are checked in calls as on the command line."""
    with pytest.raises(InvalidParameter, match="allowed are whole numbers from 1"):
        Everything(version=given)
    with pytest.raises(InvalidParameter, match="allowed are positive whole numbers"):
        Everything(version=1, versions=[given])


@pytest.mark.filterwarnings("error")
def test_a_number_and_its_text_are_one_version():
    """`version=1` and `version='1'` make the same task, without a warning about types."""
    task = Everything(version="1")
    assert 1 == task.version
    assert Everything(version=1) is task


def test_folders_are_absolute(monkeypatch, tmp_path):
    """A folder given, a path and a default mean the same wherever a worker runs."""
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path / "somewhere") == Everything(version=1).folder
    assert str(tmp_path / "a") == Everything(version=1, folder="b/../a/").folder
    assert str(tmp_path / "a") == Everything(version=1, folder=Path("a")).folder


@pytest.mark.parametrize("character", "[]*?\\")
def test_a_base_path_is_no_pattern(tmp_path, character):
    """Each character that TensorFlow reads as part of a pattern is refused, in whatever folder of the path it is."""
    with pytest.raises(InvalidParameter, match=r"base_path .*: TensorFlow takes \[ \] \* \? and \\ in a path for"):
        VerifyVersions(base_path=tmp_path / f"a{character}b" / "mnist")
    with pytest.raises(InvalidParameter, match=r"server_base_path .*: TensorFlow takes"):
        PromoteVersion(label="stable", version=1, server_base_path=f"gs://bucket/{character}")


def test_the_home_folder_is_written_out(monkeypatch):
    """`~` is the user's home, as in a shell."""
    monkeypatch.setenv("HOME", "/home/somebody")
    assert "/home/somebody/models" == Everything(version=1, folder="~/models").folder


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a\0b", "allowed are paths in UTF-8, without a NUL"),
        ("a\udcffb", "allowed are paths in UTF-8, without a NUL"),
        ("~no-such-user/x", "nobody here has that name, or no home"),
    ],
)
def test_what_no_folder_can_be_called_is_refused(text, reason):
    """Python's own errors would be tracebacks, some of them after minutes."""
    with pytest.raises(InvalidParameter, match=reason):
        Everything(version=1, folder=text)


def test_no_folder_stays_none():
    """Nothing is not the working directory."""
    assert "" == Everything(version=1, folder="").folder


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", ()), ("a", ("a",)), (" a , b ", ("a", "b")), ("a,,b,", ("a", "b")), ("/with blank/", ("/with blank/",))],
)
def test_texts_are_split_at_commas(text, expected):
    """Blanks around a comma and empty parts do not count, and what is written is read again."""
    parameter = ListOfStringsParameter()
    assert expected == parameter.parse(text)
    assert expected == parameter.parse(parameter.serialize(expected))


@pytest.mark.parametrize("value", [None, 5, 0.1 + 0.2, 1e-300])
def test_a_key_that_is_written_is_read_again(value):
    """A recipe's value survives the way through text to the last bit; not given stays not given."""
    parameter = RecipeParameter(KEYS["learning_rate"])
    found = parameter.parse(parameter.serialize(value))
    assert value == parameter.normalize(found)


@pytest.mark.parametrize("given", [{"learning_rate": "fast"}, {"count": 10}])
def test_a_value_that_is_not_allowed_is_refused(given):
    """The error has the parameter's name, the value, and what is allowed."""
    ((name, value),) = given.items()
    with pytest.raises(InvalidParameter, match=f"^{name} = {value!r}: allowed is a "):
        Everything(version=1, **given)


@pytest.mark.parametrize("version", [1, LARGEST])
def test_a_version_that_is_written_is_read_again(version):
    """Luigi hands the number to its workers as text."""
    parameter = VersionParameter()
    assert version == parameter.normalize(parameter.parse(parameter.serialize(version)))


@pytest.mark.parametrize(
    ("written", "meant"),
    [([], False), (["--force"], True), (["--force", "true"], True), (["--force", "False"], False)],
)
def test_a_switch_may_have_a_value(written, meant):
    """As the scheduler's page writes it; alone it says yes."""
    with CmdlineParser.global_instance(["Everything", "--version", "1", *written], allow_override=True) as parser:
        assert meant is parser.get_task_obj().force


@pytest.mark.parametrize("given", ["maybe", "", 1, None])
def test_a_switch_says_yes_or_no(given):
    """Anything else is refused, in luigi.cfg and in a call alike."""
    with pytest.raises(InvalidParameter, match=rf"^force = {given!r}: allowed are true and false$"):
        Everything(version=1, force=given)


class TestDistribution:
    """Settings of `[distribution]` in luigi.cfg."""

    @pytest.fixture
    def settings(self, this_process):
        """A function that lets this process have read that section."""
        assert this_process

        def read(**keys):
            get_config().read_dict({"distribution": keys})

        return read

    def test_what_is_given_wins(self, settings):
        """An option, then luigi.cfg, then nothing; an option that is empty means nothing, whatever luigi.cfg says."""
        parameter = Distributing.bucket
        assert "" == parameter.normalize(None)
        settings(bucket="s3://models/mnist/")
        assert "s3://models/mnist" == parameter.normalize(None)
        assert "/srv/bucket" == parameter.normalize("file:///srv/bucket")
        assert "" == parameter.normalize("")

    def test_a_default_is_not_overruled(self, settings):
        """With a default of its own, luigi.cfg does not count."""
        settings(bucket="/srv/bucket")
        assert "" == Distributing().elsewhere
        assert "/srv/bucket" == Distributing().bucket

    @pytest.mark.parametrize("bucket", [None, "", "/srv/bucket"])
    def test_a_host_counts_where_there_is_a_bucket(self, settings, bucket):
        """Hosts with a bucket have disks of their own, so that their tasks must not be one and the same."""
        if bucket is not None:
            settings(bucket=bucket)
        assert (socket.gethostname() if bucket else "") == Distributing.host.normalize(None)
        assert "other" == Distributing.host.normalize("other")
