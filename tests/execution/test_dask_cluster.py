"""Calls on a Dask cluster: what goes to the workers and comes back, and what is told of faults."""

import contextlib
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from tests.conftest import ROOT, free_port
from tests.dask_processes import DaskProcesses

PRELUDE = """
import json, logging, os, sys, threading, time
from pathlib import Path
from tasks.execution import calls, dask_cluster, dask_folders, dask_worker
from tests.execution import functions

logging.basicConfig(format="%(message)s")
logging.getLogger("tasks").propagate = True
FILLED = Path("filled")

def attempt(function, *arguments, threads=1, **more):
    FILLED.mkdir(exist_ok=True)
    try:
        return calls.run(function, FILLED.absolute(), *arguments, threads=threads, cluster=sys.argv[1], **more)
    except Exception as error:
        return [type(error).__name__, str(error), str(error.__cause__)]
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler and one worker, with its nanny."""
    processes = DaskProcesses(tmp_path_factory.mktemp("dask"))
    processes.add_workers(1)
    yield processes
    processes.close()


@pytest.fixture
def own_cluster(tmp_path):
    """A scheduler of its own, without a worker yet."""
    processes = DaskProcesses(tmp_path / "dask")
    yield processes
    processes.close()


@pytest.fixture
def script(tmp_path):
    """Run a Python script that calls on the scheduler at an address; gives what it printed as JSON, and its stderr."""

    def run(address, code):
        result = subprocess.run(
            [sys.executable, "-c", PRELUDE + code, address],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert 0 == result.returncode, result.stderr
        return json.loads(result.stdout), result.stderr

    return run


def test_what_goes_in_and_comes_back(cluster, script):
    """Values, folders, reports and errors; nothing stays on the scheduler, and the caller never imports TensorFlow."""
    found, _ = script(
        cluster.address,
        """
arrays = Path("arrays")
arrays.mkdir()
for name in "ab":
    (arrays / name).write_bytes(name.encode())
reports = []
pid, folder, content, filled = attempt(functions.fill, arrays, b"z", report=lambda *told: reports.append(told))
results = [
    reports, content.decode(), (FILLED / "deep" / "file").read_text(),
    [Path(path).exists() for path in (folder, filled)],
    attempt(functions.fill_and_refuse), (FILLED / "file").exists(),
    attempt(functions.fill_and_stumble), attempt(functions.fill_and_ask_tensorflow),
    attempt(functions.fill_and_stumble, threads=2)[:2],
    "tensorflow" in sys.modules,
]
client = dask_cluster._cluster.client
time.sleep(0.5)
print(json.dumps([*results, client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))]))
""",
    )
    assert [[[0.5, "half"]], "a", "zz", [False, False]] == found[:4]
    assert ["TrainingFailed", "the loss is nan"] == found[4][:2]
    assert not found[5]
    for (name, text, cause), said in zip(
        found[6:8], ("ZeroDivisionError", "tensorflow.python.framework.errors_impl.NotFoundError"), strict=True
    ):
        assert "ComputationFailed" == name
        assert text.startswith(f"{said}: ")
        assert "functions.py, line" in text
        assert "\n" not in text
        assert "Traceback" in cause
    assert "ClusterFailed" == found[8][0]
    assert "threads = 2: this process runs with 1 already; one value is allowed in a process" in found[8][1]
    assert [False, 0] == found[9:]


def test_a_large_folder_goes_to_a_worker_once(cluster, script):
    """It lies there under the digest of its content from call to call, and the least used go."""
    found, _ = script(
        cluster.address,
        """
brought, scattered = [], dask_cluster.Client.scatter
dask_cluster.Client.scatter = lambda self, *more, **options: brought.append(1) or scattered(self, *more, **options)
places = []
for number in [0, 0, 1, 2, 3, 0, 4, 5, 0, 1]:
    arrays = Path(f"arrays-{number}")
    arrays.mkdir(exist_ok=True)
    (arrays / "a").write_bytes(str(number).encode() * dask_folders.LARGE)
    _, folder, content, _ = attempt(functions.fill, arrays, b"z", report=lambda *_: None)
    assert content.decode() == str(number)
    places.append([folder, len(brought)])
print(json.dumps([places, dask_worker.KEPT, len(list(Path(folder).parent.iterdir()))]))
""",
    )
    places, kept, left = found
    assert places[0][0] == places[1][0] == places[5][0]
    assert [1, 1, 2, 3, 4, 4, 5, 6, 6, 7] == [count for _, count in places]
    assert kept + 1 == left


@pytest.mark.long
def test_as_many_workers_as_are_needed_import_tensorflow_beforehand(own_cluster, script):
    """While the caller goes on."""
    own_cluster.add_workers(2)
    found, _ = script(
        own_cluster.address,
        """
client = dask_cluster._connect(sys.argv[1]).client
client.wait_for_workers(2, timeout=60)
began = time.monotonic()
calls.warm_up(sys.argv[1], 1)
took = time.monotonic() - began
left = lambda: client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
having = lambda: sum(client.run(lambda: "tensorflow" in sys.modules).values())
while (left() or not having()) and time.monotonic() < began + 60:
    time.sleep(0.1)
print(json.dumps([took, having(), left()]))
""",
    )
    took, having, left = found
    assert 1 > took
    assert [1, 0] == [having, left]


def test_the_profiler_rests_while_a_worker_computes(cluster, script):
    """It would take a twentieth of the processor; afterwards it goes on, for those whose cluster it is."""
    found, _ = script(
        cluster.address,
        """
resting = attempt(functions.fill_and_find_profilers)
time.sleep(0.5)
client = dask_cluster._cluster.client
print(json.dumps([resting, client.submit(functions.find_profilers, pure=False).result()]))
""",
    )
    assert [{"profile": False, "profile-cycle": False}, {"profile": True, "profile-cycle": True}] == found


@pytest.mark.long
def test_a_worker_that_is_lost_is_told_and_the_call_begins_anew(cluster, script, tmp_path):
    """Once is a line in the log; three times is an error that names the workers."""
    found, log = script(
        cluster.address,
        """
here = os.getcwd().lstrip("/")
print(json.dumps([attempt(functions.die, f"{here}/once", 1), attempt(functions.die, f"{here}/ever", 9)]))
""",
    )
    assert 1 == found[0]
    assert "was lost; die begins anew on tcp://127.0.0.1:" in log
    assert "ClusterFailed" == found[1][0]
    assert found[1][1].startswith("die was tried 3 times, and each time its Dask worker was lost (tcp://127.0.0.1:")
    assert 4 >= len((tmp_path / "ever").read_text())


@contextlib.contextmanager
def silence():
    """A port at which somebody listens, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextlib.contextmanager
def web():
    """A port at which a web server answers, as a scheduler's dashboard does."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.long
@pytest.mark.parametrize("there", [lambda: contextlib.nullcontext(free_port()), silence, web])
def test_a_scheduler_that_is_not_there_is_told_soon(script, there):
    """Within ten seconds, with the commands that start one; so if something else answers, or keeps silent."""
    with there() as port:
        address, began = f"tcp://127.0.0.1:{port}", time.monotonic()
        found, log = script(address, "print(json.dumps(attempt(functions.fill_and_refuse)))")
        seconds = time.monotonic() - began
    assert "ClusterFailed" == found[0]
    assert f"no Dask scheduler answers at {address} within 7 s: start one with `dask scheduler`" in found[1]
    assert "Traceback" not in log
    assert 10 > seconds


@pytest.mark.long
def test_a_scheduler_without_workers_is_told(own_cluster, script):
    """After a time in which a cluster could have grown; then the line says how to start one."""
    found, _ = script(
        own_cluster.address,
        """
dask_cluster.NO_WORKERS_SECONDS = 1
print(json.dumps(attempt(functions.fill_and_refuse)))
""",
    )
    assert "ClusterFailed" == found[0]
    assert f"has had no worker for 1 s; start one with `dask worker {own_cluster.address} --nthreads 1`" in found[1]


@pytest.mark.long
def test_a_scheduler_that_is_lost_is_told(own_cluster, script, tmp_path):
    """In the middle of a call; the next call of the same process finds the new one."""
    own_cluster.add_workers(1)
    (tmp_path / "victim").write_text(str(own_cluster.scheduler.pid))
    found, _ = script(
        own_cluster.address,
        """
import signal
def kill():
    while not Path("runs").exists():
        time.sleep(0.05)
    os.kill(int(Path("victim").read_text()), signal.SIGKILL)
threading.Thread(target=kill, daemon=True).start()
print(json.dumps(attempt(functions.wait_and_fill, os.getcwd().lstrip("/") + "/runs", 30)))
""",
    )
    assert "ClusterFailed" == found[0]
    assert f"the Dask scheduler at {own_cluster.address} was lost while wait_and_fill ran" in found[1]


def pretend(directory, name, version):
    """A folder to be put first on a path, which says that another version of a package is installed."""
    info = directory / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return directory


def changed_package(directory):
    """A copy of this package with another network, to be put first on a path."""
    subprocess.run(["cp", "-r", ROOT / "tasks", directory], check=True)
    with (directory / "tasks" / "model" / "architectures.py").open("a") as stream:
        stream.write("# changed\n")
    return directory


@pytest.mark.long
def test_a_worker_that_would_give_other_bytes_is_refused(own_cluster, script, tmp_path):
    """Another TensorFlow, another source, no such package, several threads: each line says what, and where."""
    other = pretend(tmp_path / "other", "tensorflow", "2.19.1")
    (tmp_path / "changed").mkdir()
    broken = tmp_path / "broken" / "tasks"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ModuleNotFoundError('No module named tasks', name='tasks')")
    cases = (
        ({"PYTHONPATH": f"{other}{os.pathsep}{ROOT}"}, (), "would give other bytes: it has tensorflow 2.19.1, here 2."),
        ({"PYTHONPATH": str(changed_package(tmp_path / "changed"))}, (), "source of tasks"),
        ({"PYTHONPATH": str(broken.parent)}, (), "cannot run this package (ModuleNotFoundError"),
        (
            {},
            ("--nthreads", "2"),
            "has 2 threads; start it with --nthreads 1: a process computes one version at a time",
        ),
    )
    for env, options, expected in cases:
        process = own_cluster.add_workers(1, "--no-nanny", *(options or ("--nthreads", "1")), env=env)
        found, _ = script(own_cluster.address, "print(json.dumps(attempt(functions.fill_and_refuse)))")
        assert "ClusterFailed" == found[0], found
        assert expected in found[1]
        assert "tcp://127.0.0.1:" in found[1]
        process.send_signal(signal.SIGTERM)
        process.wait()
        time.sleep(0.5)
