"""A reader, other runs at the same time and kills: what bears a number in the base path is whole."""

import json
import subprocess
import sys
import threading
import time

import pytest

from tests.conftest import ROOT, kill_group, names_in, read_tree
from tests.jobs.chain import CHAIN, VERSION_FILES

pytestmark = pytest.mark.long


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
            run_luigi("ExportAllVersions", "--versions", "1-4", "--workers", "2", check=0)
            answer, _ = reader.communicate(timeout=60)
        assert 0 == reader.returncode
        assert set("1234") == set(json.loads(answer))
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
        # seconds from a line of the log to the kill: in a training, in an export. In the last one the parent alone
        # is killed, between two exports, so that its children still work while the next run does.
        moments = [
            ("running   TrainModel", 0.25, kill_group),
            ("running   ExportVersion", 0.1, kill_group),
            (": published, ", 0, subprocess.Popen.kill),
        ]
        for sign, delay, kill in moments:
            process = run_luigi.start("ExportAllVersions", "--versions", "1-3", "--workers", "2", "--log-level=DEBUG")
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
