"""Whatever is wrong is told in one line at the end, with an exit code that is not zero, and nothing is changed."""

import contextlib
import functools
import os
import socket
import threading

import pytest

from tasks.serving import servers as model_servers
from tests import disks
from tests.conftest import ROOT
from tests.model_server import ModelServer
from tests.serving.conftest import promote, wait_until

PROMOTE = ("PromoteVersion", "--label", "stable", "--version", "1")


def snapshot(directory):
    """Every file below a folder, and what it holds; the empty lock file counts for nothing."""
    files = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    return {path: content for path, content in files.items() if content or path.name != ".releases.lock"}


def run_and_fail(run, *arguments, **options):
    """Run a command line that must fail; gives the line that says why."""
    models = run.directory / "models"
    before = snapshot(models)
    result = run(*arguments, **options)
    assert result.returncode in {30, 40}, result.stderr
    assert before == snapshot(models)
    assert "Traceback" not in result.stderr
    last = result.stderr.rstrip().splitlines()[-1]
    assert last.startswith("ERROR: ")
    return last


@pytest.fixture
def fails(run_here, base_path):  # noqa: ARG001 - the tree has to be there
    """Let a command line fail in this process, where TensorFlow is imported already."""
    return functools.partial(run_and_fail, run_here)


@pytest.fixture
def fails_by_itself(run_luigi, base_path):  # noqa: ARG001 - the tree has to be there
    """Let a command line fail in a process of its own."""
    return functools.partial(run_and_fail, run_luigi)


@pytest.mark.parametrize("name", ["models.config", "releases.jsonl", "foreign.json"])
def test_a_fifo_where_a_file_is_expected_is_not_waited_for(fails, make_fifo, config_path, base_path, name):
    """A FIFO in the place of what a promotion reads is named at once, and nothing is changed."""
    if name == "foreign.json":  # which nobody asks for otherwise
        (base_path / "1" / "assets.extra" / "manifest.json").unlink()
    make_fifo(config_path.with_name(name))
    last = fails(*PROMOTE, "--wait-seconds", "0")
    assert name in last
    assert "ot a regular file" in last


def test_nothing_goes_through_a_link_in_the_place_of_the_log(fails, config_path, tmp_path):
    """A link that bears the log's name is named, and what it points to is neither read nor written."""
    victim = tmp_path / "victim"
    victim.write_text("of somebody else")
    config_path.with_name("releases.jsonl").symlink_to(victim)
    last = fails(*PROMOTE, "--wait-seconds", "0")
    assert "releases.jsonl: Too many levels of symbolic links; no link, FIFO or device is used there" in last
    assert "of somebody else" == victim.read_text()


def test_a_promotion_on_a_full_disk(fails):
    """The file that does not fit is named in one line with the way out, and nothing is changed."""
    with disks.file_size_limit(100):
        last = fails(*PROMOTE, "--wait-seconds", "0")
    assert last.endswith("models.config: File too large; make room or choose another place")


@pytest.fixture
def impatient(monkeypatch):
    """A server has half a second for an answer."""
    monkeypatch.setattr(model_servers, "CALL_SECONDS", 0.5)


@contextlib.contextmanager
def talking(say):
    """A TCP server that says the same to everybody, or nothing, and keeps the line open; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as stack:

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    stack.enter_context(connection)
                    connection.sendall(say)

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("PromoteVersion", "--label", "st-able", "--version", "1"), "label 'st-able': allowed are letters"),
        (("PromoteVersion", "--version", "1"), "label ''"),
        (("PromoteVersion", "--label", "stable", "--version", "9"), "published are 1, 2, 3, 4"),
        (("RollBack", "--label", "stable"), "nothing to roll back to"),
        (("QuarantineVersion", "--version", "9"), "does not exist; published are 1, 2, 3, 4"),
        (("RetireVersions", "--keep", "0"), "keep = '0': allowed is a whole number from 1 to 10,000"),
        (("RetireVersions", "--keep", "abc"), "keep = 'abc': allowed is a whole number"),
        (("RetireVersions", "--keep-loaded", "2.5"), "keep_loaded = '2.5': allowed is a whole number from 0 to"),
        (("ConfirmRollout", "--version", "1"), "none given"),
        ((*PROMOTE, "--server", "nonsense"), "server 'nonsense': allowed is host:port"),
        ((*PROMOTE, "--wait-seconds", "-1"), "wait_seconds = '-1': allowed is a number of seconds from 0 to 604,800"),
        ((*PROMOTE, "--wait-seconds", "abc"), "wait_seconds = 'abc'"),
        ((*PROMOTE, "--timeout-seconds", "nan"), "timeout_seconds = 'nan'"),
        (
            (*PROMOTE, "--server-base-path", "models/mnist"),
            "server_base_path 'models/mnist': allowed is an absolute path",
        ),
        ((*PROMOTE, "--reload"), "reload: no --server is given that the config file could be sent to"),
        ((*PROMOTE, "--reload", "--server", "h:1,http://h:2"), "'http://h:2': with --reload a server takes the config"),
        (("RemoveLabel", "--label", ""), "label ''"),
        (("RemoveLabel",), "label ''"),
        ((*PROMOTE, "--config-path", "models/mnist/models.config"), "must not lie in the base path"),
    ],
)
def test_values_that_are_not_allowed(fails, arguments, said):
    """They are refused."""
    assert said in fails(*arguments)


def test_a_value_that_is_not_allowed_ends_a_process(fails_by_itself, tmp_path):
    """A process of its own says the same, before TensorFlow is imported."""
    (tmp_path / "tensorflow.py").write_text("raise AssertionError('TensorFlow was imported')\n")
    environment = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    for label, version, said in (("st-able", 1, "label 'st-able': allowed"), ("stable", 9, "published are 1, 2, 3, 4")):
        arguments = ("PromoteVersion", "--label", label, "--version", version)
        assert said in fails_by_itself(*arguments, env=environment)


def test_a_config_file_with_a_syntax_error(fails, config_path):
    """The line is named, the file stays."""
    config_path.write_text("# mine\nmodel_config_list {\n  confg { }\n}\n")
    assert f"{config_path}" in (said := fails(*PROMOTE))
    assert "line 3" in said


def test_a_label_on_a_version_that_is_gone(fails, config_path, base_path):
    """That the label points there is not enough: nobody can serve it."""
    config_path.write_text(
        f'model_config_list {{ config {{ name: "mnist" base_path: "{base_path}" '
        'version_labels { key: "stable" value: 9 } } }'
    )
    assert "version 9 does not exist" in fails("PromoteVersion", "--label", "stable", "--version", "9")


def test_a_version_that_was_damaged(fails_by_itself, base_path):
    """A version that is not what was exported gets no label."""
    index = base_path / "1" / "variables" / "variables.index"
    index.write_bytes(index.read_bytes()[:-1])
    assert "fails verification: " in fails_by_itself(*PROMOTE, "--wait-seconds", "0")


def test_a_version_that_somebody_else_made(fails, base_path):
    """What has no manifest is in conflict with what the pipeline would publish there."""
    (base_path / "1" / "assets.extra" / "manifest.json").unlink()
    assert "was not made by this pipeline" in fails(*PROMOTE)


def test_a_server_that_is_down(fails):
    """Nobody listens: told at once, the config file is not written."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    assert f"{address}: GetModelStatus fails: UNAVAILABLE" in fails(*PROMOTE, "--server", address)


@pytest.mark.long
def test_a_roll_back_in_a_process_of_its_own(fails_by_itself, run_luigi, served):
    """Servers are asked by an engine there, and what they say comes back as it is: one that is down is left out."""
    for version in (1, 2):
        promote(served, "stable", version)
    roll_back = ("RollBack", "--label", "stable", "--server")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        gone = f"127.0.0.1:{probe.getsockname()[1]}"
    assert f"RollBack: no server answers: {gone}: GetModelStatus fails: UNAVAILABLE" in fails_by_itself(
        *roll_back, gone
    )
    with ModelServer(served.config_path, allow_new_labels=True) as server:
        result = run_luigi(*roll_back, f"{gone},{server.address}", check=0)
        assert f"Going on without a server, which follows when it reads the config file: {gone}" in result.stderr
        wait_until(lambda: server.labels == {("mnist", "stable"): 1})


@pytest.mark.usefixtures("impatient")
def test_a_server_that_hangs(fails):
    """Somebody listens and says nothing: the deadline ends it, over gRPC and over REST."""
    with talking(b"") as address:
        assert f"{address}: GetModelStatus fails: " in fails(*PROMOTE, "--server", address)
        assert f"http://{address}: does not answer: timed out" in fails(*PROMOTE, "--server", f"http://{address}")


def test_a_server_that_answers_garbage(fails):
    """What speaks another protocol is no model server, over gRPC and over REST."""
    with talking(b"SSH-2.0-x\r\n") as address:
        assert f"{address}: GetModelStatus fails: " in fails(*PROMOTE, "--server", address)
        assert f"http://{address}: does not answer: " in fails(*PROMOTE, "--server", f"http://{address}")
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n<html>hi</html>"
    with talking(page) as address:
        said = fails(*PROMOTE, "--server", f"http://{address}")
        assert "answers what is no model status: HTTP status 200: <html>hi</html>" in said


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("say", [b"", b"SSH-2.0-x\r\n"])
def test_a_roll_back_on_a_server_that_hangs_or_answers_garbage(fails, served, say):
    """Alone it is as good as none; nothing is changed, over gRPC and over REST."""
    for version in (1, 2):
        promote(served, "stable", version)
    with talking(say) as address:
        for server in (address, f"http://{address}"):
            said = fails("RollBack", "--label", "stable", "--server", server)
            assert f"RollBack: no server answers: {server}: " in said


def test_a_label_that_is_not_there_is_not_removed(release, served, caplog):
    """Nothing is to be done, and the labels that there are are named: it may have been another."""
    promote(served, "stable", 1)
    before = served.config_path.read_bytes()
    with caplog.at_level("INFO", "tasks"):
        release("RemoveLabel", "--label", "canary")
    assert "There is no label canary; labels: stable -> 1" in caplog.text
    assert before == served.config_path.read_bytes()


def test_a_server_that_does_not_load_the_version(fails, config_path, base_path):
    """It follows another file: after the stated time it is told, and the config file is as before."""
    elsewhere = config_path.with_name("other.config")
    entry = f'    name: "mnist"\n    base_path: "{base_path}"\n    model_platform: "tensorflow"\n'
    text = f"model_config_list {{\n  config {{\n{entry}  }}\n}}\n"
    elsewhere.write_text(text)
    config_path.write_text(text)
    with ModelServer(elsewhere) as server:
        said = fails(*PROMOTE, "--server", server.address, "--timeout-seconds", "2")
        assert f"{server.address}: version 1 of mnist is not known there; given up after 2 s" in said


def test_old_versions_are_not_removed_for_a_newest_one_that_is_damaged(release, base_path):
    """Of four versions the newest is damaged: one stays for being the newest, one for being good."""
    (base_path / "4" / "saved_model.pb").write_bytes(b"")
    release("RetireVersions", "--keep", "1", "--apply")
    assert ["3", "4"] == sorted(path.name for path in base_path.iterdir())


def test_a_tree_without_versions(fails, tmp_path):
    """Where nothing is, nothing can be retired: a wrong --base-path is told."""
    assert "there are no versions" in fails("RetireVersions", "--base-path", tmp_path / "nowhere")
