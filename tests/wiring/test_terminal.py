"""What a person at a terminal sees of a run."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from pathlib import Path

import luigi
import pytest

from tasks.wiring.failures import ReportedTask
from tasks.wiring.progress import Reporter
from tasks.wiring.terminal import say_last
from tests.conftest import BIN, ROOT


class Slow(ReportedTask):
    """A task that takes two seconds and says how far it is, with last words before all that."""

    done = luigi.Parameter()
    fails = luigi.BoolParameter()

    def complete(self):
        return Path(self.done).exists()

    def run(self):
        say_last("the last words")
        report = Reporter(self)
        for step in range(8):
            report(step / 8, f"step {step}")
            time.sleep(0.25)
        if self.fails:
            raise ValueError("no")
        Path(self.done).touch()


class Later(luigi.WrapperTask):
    """What runs after the task with the last words."""

    done = luigi.Parameter()

    def requires(self):
        return Slow(done=self.done)


@pytest.fixture
def at_a_terminal(tmp_path):
    """Run `Slow` in a terminal: gives what comes there, and the exit code."""

    def run(*options):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        process = subprocess.Popen(
            [BIN / "luigi", "--module", __name__, "Slow", "--local-scheduler", "--done", tmp_path / "done", *options],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        seen = b""
        while select.select([ours], [], [], 30)[0]:
            try:
                seen += os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
        os.close(ours)
        return seen.decode(), process.wait(timeout=30)

    return run


def on_screen(seen):
    """The lines that are left on the screen in the end."""
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in seen.split("\n")]
    return [line for line in lines if line.strip()]


def test_a_bar_shows_what_takes_longer_than_a_second(at_a_terminal):
    """It comes after a second, goes on, and is gone in the end."""
    seen, code = at_a_terminal()
    assert 0 == code
    assert [4, 5, 6, 7] <= [int(step) for step in re.findall(r"% \|.{20}\| Slow: step (\d)", seen)]
    assert " 75% |███████████████     | Slow: step 6" in seen
    assert ["the last words"] == on_screen(seen)


def test_nothing_is_written_into_a_bar(at_a_terminal):
    """What is logged stands on a line of its own."""
    seen, code = at_a_terminal("--fails")
    assert 30 == code
    assert "Slow: step 7" in seen
    lines = on_screen(seen)
    assert lines[0].startswith("ERROR: [pid ")
    assert ["the last words", "ERROR: Slow: ValueError: no"] == lines[-2:]
    assert not any("%" in line for line in lines)


@pytest.mark.parametrize("options", [("--workers=2",), ("--log-level=WARNING",)])
def test_no_bar_where_several_would_be_or_none_is_wanted(at_a_terminal, options):
    """Several workers would write over each other's; whoever wants warnings alone wants no bar."""
    seen, code = at_a_terminal(*options)
    assert (0, "the last words") == (code, seen.strip())


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_last_words_come_last(run_luigi, workers):
    """On standard output, below whatever is logged after them, also from a forked worker."""
    options = ("--done", run_luigi.directory / "done", f"--workers={workers}")
    shown = subprocess.run(
        [BIN / "luigi", "--module", __name__, "Later", "--local-scheduler", "--log-level=DEBUG", *options],
        cwd=run_luigi.directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert shown.endswith("===== Luigi Execution Summary =====\n\nthe last words\n")
    assert "DEBUG: Informed scheduler that task" in shown
    assert "INFO: " not in shown
    (run_luigi.directory / "done").unlink()
    result = run_luigi("Later", *options, module=__name__, check=0)
    assert ("the last words\n", "") == (result.stdout, result.stderr)


def test_outside_a_run_last_words_are_said_at_once(capsys):
    """A task may be run by hand."""
    say_last("now")
    assert "now\n" == capsys.readouterr().out


@pytest.mark.parametrize(
    ("redirection", "told"),
    [
        (">&-", ""),
        (">&- 2>&- <&-", ""),
        ("2>&-", ""),
        ("> /dev/full", "WARNING: Standard output cannot be written: No space left on device\n"),
        ("| true", None),
    ],
)
def test_a_closed_standard_output_fails_nothing(run_luigi, redirection, told):
    """Neither what was asked for nor the exit code depends on who listens."""
    options = "ExportAllVersions --versions=1,2 --dataset=small --training-iteration=2 --workers=2 --local-scheduler"
    mirror = f'--DownloadDataset-mirrors "{run_luigi.mirror}" --log-level=WARNING'
    command = f'"{BIN}/luigi" --module tests.small {options} {mirror}'
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{command} {redirection}"],
        cwd=run_luigi.directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == result.returncode, result.stderr
    assert told in {result.stderr, None}
    assert (run_luigi.base / "2").is_dir()
