"""Fixtures: a folder that serves as a mirror, a real HTTP server, the real command line in a subprocess."""

import functools
import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

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
def run_luigi(tmp_path: Path, mirror: Path):
    """Run `luigi --module tests.small ...` with the small dataset in a fresh working directory, and return the result."""

    def run(*arguments, timeout=120, check=None, cwd=tmp_path, env=None, local_scheduler=True):
        command = [BIN / "luigi", "--module", "tests.small", *arguments]
        if local_scheduler:
            command.append("--local-scheduler")
        if not any(str(argument).startswith("--DownloadDataset-mirrors") for argument in arguments):
            command += ["--DownloadDataset-mirrors", mirror]
        result = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check is not None:
            assert check == result.returncode, result.stderr
        return result

    return run
