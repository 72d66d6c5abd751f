"""How a run ends that is told to."""

import contextlib
import functools
import logging
import os
import signal
import threading
import time
from pathlib import Path

import luigi
import pytest

from tasks.wiring.failures import ReportedTask
from tasks.wiring.stopping import Stopped, stoppable
from tests.conftest import kill_group

SENTENCE = "what was finished before is kept, and the same command goes on from there"


def _exit_slowly(folder, code, leave=os._exit):
    """What a tool that measures a program may put in its place, such as coverage."""
    time.sleep(0.3)
    Path(folder, "left").touch()
    leave(code)


class Sleeper(ReportedTask):
    """A task that takes a minute, says when it has begun, and tidies up if it can."""

    folder = luigi.Parameter()

    def complete(self):
        return Path(self.folder, "done").exists()

    def run(self):
        try:
            if Path(self.folder, "slow").exists():
                os._exit = functools.partial(_exit_slowly, self.folder)
            Path(self.folder, "begun").write_text(str(os.getpid()))
            if not Path(self.folder, "quick").exists():
                time.sleep(60)
            Path(self.folder, "done").touch()
        finally:
            Path(self.folder, "tidied").touch()


@pytest.fixture
def sleeping(run_luigi):
    """Start a run, and return when its task has begun."""
    processes = []

    def start(*options, **how):
        folder = run_luigi.directory
        for name in ("begun", "tidied"):
            (folder / name).unlink(missing_ok=True)
        process = run_luigi.start("Sleeper", "--folder", folder, *options, module=__name__, **how)
        processes.append(process)
        while not (folder / "begun").exists():
            assert None is process.poll(), process.communicate()
            time.sleep(0.02)
        time.sleep(0.2)  # Python does not hear a signal that falls just before it begins to sleep
        return process

    yield start
    for process in processes:
        kill_group(process)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP")]
)
def test_one_sentence_and_an_exit_code(run_luigi, sleeping, workers, number, name):
    """What was stopped and what is kept; no traceback of any process, and no table."""
    process = sleeping(f"--workers={workers}")
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=20)
    assert (128 + number, "") == (process.returncode, out)
    assert f"WARNING: Stopped by {name} in Sleeper: {SENTENCE}\n" == err
    if number == signal.SIGINT:
        assert (run_luigi.directory / "tidied").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_who_presses_it_again_and_again_sees_no_traceback(sleeping, workers):
    """The run ends with the same exit code, if perhaps before it has said its sentence."""
    process = sleeping(f"--workers={workers}")
    with contextlib.suppress(ProcessLookupError):
        for _ in range(5):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.03)
    _, err = process.communicate(timeout=20)
    assert 130 == process.returncode
    assert err in {"", f"WARNING: Stopped by Ctrl-C in Sleeper: {SENTENCE}\n"}


def test_a_worker_that_is_about_to_end_hears_nothing_more(run_luigi, sleeping):
    """Else it could go on as Luigi's process, of which it is a copy, and say that one's last sentence, too."""
    (run_luigi.directory / "slow").touch()
    process = sleeping("--workers=2")
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.15)
    with contextlib.suppress(ProcessLookupError):  # on a busy machine it may have left
        os.kill(int((run_luigi.directory / "begun").read_text()), signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert 130 == process.returncode
    assert f"WARNING: Stopped by Ctrl-C in Sleeper: {SENTENCE}\n" == err
    assert (run_luigi.directory / "left").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_the_scheduler_hands_the_tasks_out_again_at_once(run_luigi, sleeping, luigid, workers):
    """The page shows what was stopped as failed, and the same command, given again, ends within seconds.

    That holds however often it is stopped: the scheduler does not count it as one failure too many.
    """
    server = luigid()
    run_luigi.configure("[scheduler]\nretry_count = 2\n")
    options = (f"--workers={workers}", "--scheduler-port", server.port)
    for _ in range(2):
        process = sleeping(*options, local_scheduler=False)
        os.killpg(process.pid, signal.SIGINT)
        assert 130 == process.wait(timeout=20)
    assert {"Sleeper"} == server.tasks("FAILED")
    assert set() == server.tasks("RUNNING") | server.tasks("DISABLED")
    (run_luigi.directory / "quick").touch()
    began = time.monotonic()
    run_luigi("Sleeper", "--folder", run_luigi.directory, *options, module=__name__, local_scheduler=False, check=0)
    assert 5 > time.monotonic() - began


def test_a_scheduler_that_is_gone_changes_nothing(run_luigi, sleeping, luigid):
    """The sentence and the exit code are the same where nobody can be told."""
    server = luigid()
    run_luigi.configure("[worker]\nping_interval = 60\n")
    process = sleeping("--scheduler-port", server.port, local_scheduler=False)
    server.process.kill()
    server.process.wait()
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert 130 == process.returncode
    assert f"WARNING: Stopped by Ctrl-C in Sleeper: {SENTENCE}" == err.splitlines()[-1]
    assert "Traceback" not in err


def test_a_run_in_the_background_is_not_stopped(sleeping):
    """A shell that starts a run with & lets it ignore Ctrl-C, and so it does."""
    process = sleeping(prefix=("sh", "-c", "trap '' INT; exec \"$@\"", "sh"))
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.5)
    assert None is process.poll()
    os.killpg(process.pid, signal.SIGTERM)
    assert 143 == process.wait(timeout=20)


def test_a_signal_at_a_bad_moment_comes_again():
    """One that falls into a destructor, where Python lets no exception out, is not lost, and nothing is printed."""

    class Doomed:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Stopped) as stopped, stoppable():
        doomed = Doomed()
        del doomed
        time.sleep(5)
    assert 130 == stopped.value.code
    assert signal.default_int_handler is signal.getsignal(signal.SIGINT)


def test_a_signal_at_a_lock_leaves_no_lock_behind():
    """Luigi waits in the end for a thread that logs: with a lock of the log taken for good, the run would not end."""

    class Lock:
        """One that is given back just after Ctrl-C, once."""

        def __init__(self):
            self.real, self.is_first = threading.RLock(), True
            self.acquire = self.real.acquire

        def release(self):
            if self.is_first:
                self.is_first = False
                signal.raise_signal(signal.SIGINT)
            self.real.release()

    handler = logging.NullHandler()
    handler.lock = Lock()
    handler.handle = functools.partial(logging.Handler.handle, handler)
    with pytest.raises(Stopped) as stopped, stoppable():
        handler.handle(logging.makeLogRecord({}))
        time.sleep(5)
    assert 130 == stopped.value.code
    free = []
    thread = threading.Thread(target=lambda: free.append(handler.lock.acquire(timeout=5)))
    thread.start()
    thread.join()
    assert [True] == free


def test_a_signal_while_a_lock_is_waited_for_is_heard():
    """It is put off for a second at most."""
    began = time.monotonic()
    threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(Stopped), stoppable():
        threading.Event().wait(20)
    assert 5 > time.monotonic() - began


def test_the_handlers_of_a_program_stay():
    """A program that calls luigi.build and handles a signal itself goes on doing so; threads have no handlers."""
    heard = []
    former = signal.signal(signal.SIGTERM, lambda *_: heard.append("mine"))
    try:
        with stoppable():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, former)
    assert ["mine"] == heard

    def in_a_thread():
        with stoppable():
            heard.append("entered")

    thread = threading.Thread(target=in_a_thread)
    thread.start()
    thread.join()
    assert ["mine", "entered"] == heard
