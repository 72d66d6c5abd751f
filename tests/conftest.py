"""Fixtures: a folder that serves as a mirror, a real HTTP server, the real command lines in subprocesses."""

import contextlib
import functools
import http.server
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import luigi.setup_logging
import pytest
from luigi.configuration import get_config
from luigi.retcodes import run_with_retcodes

from tasks.wiring.recipe_lookup import check_config
from tests import small

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The four original MNIST archives; a test that needs them is skipped where they are not."""
    directory = Path(os.environ.get("MNIST_DIR", ROOT.parent / "shared" / "mnist"))
    if not (directory / "train-images-idx3-ubyte.gz").is_file():
        pytest.skip(f"the original MNIST archives are not in {directory}; set MNIST_DIR to the folder that holds them")
    return directory


@pytest.fixture(scope="session")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the archives of the small dataset."""
    return small.write_archives(tmp_path_factory.mktemp("mirror"))


@pytest.fixture
def http_server():
    """Start loopback HTTP servers: `http_server(folder)` gives the address of one."""
    servers = []

    def start(folder, handler=http.server.SimpleHTTPRequestHandler):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def make_fifo():
    """Put a FIFO where a file is expected: `make_fifo(path)`; a test in which anybody waits for its end fails."""
    made, ended, waited = [], threading.Event(), []

    def make(path):
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        made.append(path)

    def let_go():
        """Whoever waits is let go in the end, so that the tests go on."""
        while not ended.wait(8):
            for path in made:
                with contextlib.suppress(OSError):  # nobody has it open
                    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
                    waited.append(path)

    thread = threading.Thread(target=let_go, daemon=True)
    thread.start()
    yield make
    ended.set()
    thread.join()
    assert [] == waited


class CommandLine:
    """`luigi --module tests.small ...` with the small dataset's mirror, in a folder of its own."""

    def __init__(self, directory: Path, mirror: Path) -> None:
        self.directory = directory
        self.mirror = mirror

    @property
    def base(self) -> Path:
        """The base path that a run without `--base-path` writes to."""
        return self.directory / "models" / "mnist"

    def configure(self, text: str) -> None:
        """Write luigi.cfg into the folder."""
        (self.directory / "luigi.cfg").write_text(text, encoding="utf-8")

    def start(self, *arguments, env=None, prefix=(), module="tests.small", local_scheduler=True) -> subprocess.Popen:
        """Start a run in a process group of its own."""
        command = [*prefix, BIN / "luigi", "--module", module, *arguments]
        if local_scheduler:
            command.append("--local-scheduler")
        if not any(str(argument).startswith("--DownloadDataset-mirrors") for argument in arguments):
            command += ["--DownloadDataset-mirrors", self.mirror]
        return subprocess.Popen(
            [str(word) for word in command],
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __call__(self, *arguments, timeout=120, check=None, **options) -> subprocess.CompletedProcess:
        """Run to the end; with `check`, the exit code must be that."""
        process = self.start(*arguments, **options)
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        finally:
            kill_group(process)
        result = subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
        if check is not None:
            assert check == result.returncode, result.stderr
        return result

    def records(self) -> list[dict]:
        """What the runs in this folder have recorded so far."""
        path = self.directory / "work" / "records.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def run_luigi(tmp_path: Path, mirror: Path) -> CommandLine:
    """Run `luigi --module tests.small ...` with the small dataset in a fresh working directory."""
    return CommandLine(tmp_path, mirror)


class InThisProcess(CommandLine):
    """The same without a new process, for runs that end before anything needs one: the console script's function."""

    def __init__(self, directory: Path, mirror: Path, capsys: pytest.CaptureFixture[str]) -> None:
        super().__init__(directory, mirror)
        self.capsys = capsys

    def configure(self, text: str) -> None:
        """Let this process have read that luigi.cfg."""
        super().configure(text)
        get_config().read(self.directory / "luigi.cfg")

    def __call__(self, *arguments, check=None, module="tests.small") -> subprocess.CompletedProcess:
        """Run to the end; with `check`, the exit code must be that."""
        command = ["--module", module, *map(str, arguments), "--local-scheduler"]
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run_with_retcodes(command)
        result = subprocess.CompletedProcess(command, ended.value.code, *self.capsys.readouterr())
        if check is not None:
            assert check == result.returncode, result.stderr
        return result


@pytest.fixture
def this_process(tmp_path: Path, monkeypatch):
    """Run command lines in this process: it is in a fresh working directory, and its Luigi is put back afterwards."""
    config, logger = get_config(), logging.getLogger("luigi-interface")
    settings, level = {section: dict(config[section]) for section in config.sections()}, logger.level
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(luigi.setup_logging.InterfaceLogging, "_configured", False)  # so that it writes to our stderr
    monkeypatch.setattr(logger, "handlers", [])
    check_config.cache_clear()
    yield tmp_path
    check_config.cache_clear()
    logger.setLevel(level)
    config.clear()
    config.read_dict(settings)


@pytest.fixture
def run_here(this_process: Path, mirror: Path, capsys) -> InThisProcess:
    """Run `luigi --module tests.small ...` in this process, in a fresh working directory."""
    return InThisProcess(this_process, mirror, capsys)


@pytest.fixture
def luigid(tmp_path: Path):
    """Start real central schedulers: `luigid()` gives one, with `port`, `process` and `tasks(status)`."""
    started = []

    def start() -> "Luigid":
        server = Luigid(tmp_path / "luigid.log")
        started.append(server)
        server.wait_until_it_answers()
        return server

    yield start
    for server in started:
        server.process.kill()
        server.process.wait()


@pytest.fixture(scope="session")
def s3_server():
    """An S3 on loopback."""
    from tests.buckets import S3Server

    server = S3Server()
    yield server
    server.end()


@pytest.fixture
def s3(s3_server, monkeypatch):
    """That S3, with an environment in which it can be spoken to."""
    from tests.buckets import CREDENTIALS

    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    yield s3_server
    s3_server.ask("fault", times=0)


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """One luigid for all tests of a module, which are told apart by their folders."""
    server = Luigid(tmp_path_factory.mktemp("luigid") / "luigid.log")
    server.wait_until_it_answers()
    yield server
    server.process.kill()
    server.process.wait()


class Luigid:
    """A central scheduler on a free port of the loopback interface."""

    def __init__(self, log: Path) -> None:
        self.port = free_port()
        self.log = log
        self.process = self._start()

    def start_again(self) -> None:
        """Kill it, and start another one in its place."""
        self.process.kill()
        self.process.wait()
        self.process = self._start()
        self.wait_until_it_answers()

    def _start(self) -> subprocess.Popen:
        with self.log.open("ab") as stream:
            return subprocess.Popen(
                [BIN / "luigid", "--address", "127.0.0.1", "--port", str(self.port)],
                stdout=stream,
                stderr=stream,
                cwd=self.log.parent,
            )

    def wait_until_it_answers(self) -> None:
        """Return as soon as it does, after 30 s at most."""
        deadline = time.monotonic() + 30
        while True:
            try:
                self.tasks("DONE")
            except OSError:
                assert self.process.poll() is None, "luigid ended"
                assert time.monotonic() < deadline, "luigid does not answer"
                time.sleep(0.05)
            else:
                return

    def ask(self, method: str, **data) -> dict:
        """Call the scheduler's interface, as its page does."""
        query = urllib.parse.quote(json.dumps(data))
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/{method}?data={query}", timeout=5) as answer:
            return json.load(answer)["response"]

    def tasks(self, status: str) -> set[str]:
        """The families of the tasks that have that status."""
        return {task["name"] for task in self.ask("task_list", status=status).values()}


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def kill_group(process: subprocess.Popen) -> None:
    """End a process that leads a group, and whatever it has started, at once."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdout, process.stderr):
        stream.close()


def names_in(directory: Path) -> list[str]:
    """What lies in a folder, sorted; nothing if it is not there."""
    return sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []


def read_tree(directory: Path) -> dict[str, bytes]:
    """Every file below a folder: path -> content."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def last_line(result: subprocess.CompletedProcess) -> str:
    """The last line on stderr: what a user must read."""
    return result.stderr.rstrip().rpartition("\n")[2]
