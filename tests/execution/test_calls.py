"""Engines: what goes to them and comes back, and who ends with whom."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT

PRELUDE = """
import json, os, signal, sys, threading, time
from pathlib import Path
from tasks.errors import EngineEnded, TrainingFailed
from tasks.execution import calls
from tests.execution import functions

def attempt(function, *arguments, **more):
    try:
        return calls.run(function, *arguments, threads=1, **more)
    except Exception as error:
        return [type(error).__name__, str(error), str(error.__cause__)]

def when_it_runs(path):
    while not Path(path).exists() or not Path(path).read_text():
        time.sleep(0.01)
    return [int(pid) for pid in Path(path).read_text().split()]
"""


@pytest.fixture
def script(tmp_path):
    """Start Python scripts; those that still run when the test ends are killed, with all that they started."""
    started = []

    def start(code):
        process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + code],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "MARK": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
    for pid in find_marked(tmp_path):
        os.kill(pid, signal.SIGKILL)


def find_marked(mark):
    """The processes that descend from a script of this test."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and f"MARK={mark}\0".encode() in (entry / "environ").read_bytes() + b"\0":
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                found += [int(entry.name)] if state != "Z" else []
        except OSError:
            continue
    return found


def check_none_left(mark, seconds=2.0):
    """All have ended after that time."""
    deadline = time.monotonic() + seconds
    while (left := find_marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [] == left


def finish(process):
    """What a script printed, as JSON, and what it wrote to stderr."""
    out, err = process.communicate(timeout=60)
    assert 0 == process.returncode, err
    return json.loads(out), err


def test_what_goes_in_and_comes_back(script):
    """Values, reports and errors; the caller never imports TensorFlow, and the engine is the same from call to call."""
    found, err = finish(
        script("""
reports = []
results = [
    attempt(functions.add, 1, 2, third=3),
    attempt(functions.tell, 2, report=lambda *told: reports.append(told)) == attempt(functions.find_process)[0],
    reports,
    attempt(functions.refuse),
    attempt(functions.refuse_for_a_reason_that_cannot_travel)[:2],
    attempt(functions.stumble),
    attempt(functions.ask_tensorflow)[:2],
    attempt(functions.interrupt)[:2],
    attempt(functions.take_all_memory)[:1],
    attempt(functions.chatter),
    sorted({"tensorflow", "numpy"} & set(sys.modules)),
]
print(json.dumps(results))
""")
    )
    assert [6, True, [[0.5, "1 of 2"], [1.0, "2 of 2"]]] == found[:3]
    assert ["TrainingFailed", "the loss is nan"] == found[3][:2]
    assert ["DownloadFailed", "no answer"] == found[4]
    assert "ZeroDivisionError" == found[5][0]
    assert 'functions.py", line' in found[5][2], "the engine's own traceback is the cause"
    assert ["ComputationFailed", "tensorflow.python.framework.errors_impl.NotFoundError: no such op"] == found[6]
    assert ["ConnectionResetError", "of its own"] == found[7]
    assert [["MemoryError"], None, []] == found[8:]
    assert "words of Python\n" == err, "what C++ writes is shown of an engine that crashes alone"


def test_each_number_of_threads_has_its_engine(script):
    """Two values in one run are two processes of one nursery."""
    found, _ = finish(
        script("""
seen = [calls.run(functions.find_process, threads=threads) for threads in (1, 2, 1)]
print(json.dumps(seen))
""")
    )
    assert [1, 2, 1] == [threads for _, _, threads in found]
    assert found[0] == found[2] != found[1]
    assert 1 == len({nursery for _, nursery, _ in found})


def test_callers_that_are_busy_have_engines_of_their_own(script):
    """Processes that were forked from the first caller call at once, through the descriptor that they inherited."""
    found, _ = finish(
        script("""
calls.start()
children = []
for number in range(2):
    pid = os.fork()
    if pid == 0:
        attempt(functions.wait, f"child-{number}", 2)
        os._exit(0)
    children.append(pid)
engines = [when_it_runs(f"child-{number}") for number in range(2)]
print(json.dumps([engines, [os.waitpid(child, 0)[1] for child in children]]))
""")
    )
    (first, second), codes = found
    assert [0, 0] == codes
    assert first[0] != second[0]
    assert first[1] == second[1]


def test_whoever_loses_an_engine_gets_a_fresh_one(script, tmp_path):
    """Killed alone or with the nursery in the middle of a call, or crashed: one line says so, the next call works."""
    found, err = finish(
        script("""
results = []
for victim in (0, 1):
    path = f"runs-{victim}"
    threading.Thread(target=lambda: os.kill(when_it_runs(path)[victim], signal.SIGKILL), daemon=True).start()
    results += [attempt(functions.wait, path)[:2], attempt(functions.add, 1, 1)]
results += [attempt(functions.crash)[:2], attempt(functions.add, 1, 1)]
print(json.dumps(results))
""")
    )
    said = "the process that ran {} was killed or crashed; nothing that was finished is lost: run again, and it goes on"
    for (name, text), function in zip(found[::2], ("wait", "wait", "crash"), strict=True):
        assert "EngineEnded" == name
        assert text.startswith(said.format(function))
    assert [2, 2, 2] == found[1::2]
    assert "last words of C++" in err
    check_none_left(tmp_path)


def test_an_engine_ends_in_silence_when_the_nursery_has_not_read_its_last_word(script, tmp_path):
    """The nursery is killed before it has read that the engine is idle again; the caller has its answer."""
    found, err = finish(
        script("""
_, nursery, _ = attempt(functions.find_process)
def stop():
    when_it_runs("runs")
    os.kill(nursery, signal.SIGSTOP)
threading.Thread(target=stop, daemon=True).start()
answer = attempt(functions.wait, "runs", 0.5)
os.kill(nursery, signal.SIGKILL)
print(json.dumps(answer))
""")
    )
    assert found is None
    assert "" == err
    check_none_left(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=["KILL", "TERM", "INT"])
def test_nothing_outlives_the_caller(script, tmp_path, number):
    """In the middle of a call, engine and nursery end with the last process that could call."""
    process = script('attempt(functions.wait, "runs")')
    deadline = time.monotonic() + 30
    while not (tmp_path / "runs").exists():
        assert time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)
    assert 3 <= len(find_marked(tmp_path))
    os.killpg(process.pid, number)
    process.wait()
    check_none_left(tmp_path)


@pytest.mark.parametrize("after", [0.1, 0.6, 1.2])
def test_nothing_outlives_the_caller_while_tensorflow_is_imported(script, tmp_path, after):
    """The nursery notices before it has taken its first call."""
    process = script('calls.start(); print("started", flush=True); time.sleep(60)')
    process.stdout.readline()
    time.sleep(after)
    process.kill()
    process.wait()
    check_none_left(tmp_path)


def test_a_caller_that_goes_away_takes_its_engine_along(script):
    """The nursery and the engines of others stay."""
    found, _ = finish(
        script("""
calls.start()
child = os.fork()
if child == 0:
    attempt(functions.wait, "child")
engine, nursery = when_it_runs("child")
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
deadline = time.monotonic() + 2
while Path(f"/proc/{engine}").exists() and time.monotonic() < deadline:
    time.sleep(0.02)
print(json.dumps([Path(f"/proc/{engine}").exists(), attempt(functions.find_process)[1] == nursery]))
""")
    )
    assert [False, True] == found


def test_no_lock_of_the_caller_is_inherited(script, tmp_path):
    """What is locked when the nursery is forked is free as soon as the caller lets go."""
    process = script("""
import fcntl
handle = os.open("locked", os.O_RDWR | os.O_CREAT)
fcntl.flock(handle, fcntl.LOCK_EX)
attempt(functions.add, 1, 1)
os.close(handle)
print("free", flush=True)
time.sleep(60)
""")
    assert "free\n" == process.stdout.readline()
    with (tmp_path / "locked").open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.long
def test_what_is_registered_later_is_known_to_the_engines(script, tmp_path):
    """After a model was added or defined anew, as in a notebook, another nursery takes the place of the one before."""
    found, _ = finish(
        script("""
from tasks.model.architectures import architecture

def register(rate):
    @architecture(optimizer="sgd", learning_rate=rate)
    def mine(images, weight):
        return images

seen = [attempt(functions.find_model, "softmax") for _ in range(2)]
for rate in (0.25, 0.125):
    register(rate)
    seen += [attempt(functions.find_model, "mine") for _ in range(2)]
print(json.dumps([seen, calls._nursery is not None]))
""")
    )
    nurseries, rates = zip(*found[0], strict=True)
    assert (0.5, 0.5, 0.25, 0.25, 0.125, 0.125) == rates
    assert [nurseries[0]] * 2 + [nurseries[2]] * 2 + [nurseries[4]] * 2 == list(nurseries)
    assert 3 == len(set(nurseries))
    check_none_left(tmp_path)


def test_a_process_that_has_tensorflow_computes_itself(script):
    """It could not be forked any more, and its threads are checked."""
    found, _ = finish(
        script("""
from tasks.model.tensorflow_setup import prepare_tensorflow
prepare_tensorflow(1)
import tensorflow as tf
assert 2 == int(tf.constant(1) + 1)
pid, _, threads = calls.run(functions.find_process, threads=1)
try:
    calls.run(functions.find_process, threads=2)
    refusal = None
except Exception as error:
    refusal = str(error)
print(json.dumps([pid == os.getpid(), threads, refusal]))
""")
    )
    assert [True, 1, "threads = 2: this process runs with 1 already; one value is allowed in a process"] == found
