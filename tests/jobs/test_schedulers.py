"""With a real central scheduler, and without the one that was expected."""

import socket
import time

import pytest

from tests.conftest import kill_group, last_line, names_in, read_tree
from tests.jobs.chain import CHAIN, iterations_in


class TestScheduler:
    """With a real central scheduler, and without the one that was expected."""

    @pytest.mark.parametrize("workers", [1, 2])
    def test_runs_under_a_central_scheduler(self, exported, run_luigi, luigid, workers):
        """With luigid the same bytes come out, and its page shows every task as done."""
        server = luigid()
        run_luigi.configure(CHAIN)
        address = ("--scheduler-port", server.port, "--workers", workers)
        run_luigi("ExportAllVersions", "--versions", "1-3", *address, local_scheduler=False, check=0)
        assert read_tree(exported[0].base) == read_tree(run_luigi.base)
        families = {"DownloadDataset", "PrepareDataset", "TrainModel", "ExportVersion", "ExportAllVersions"}
        assert families == server.tasks("DONE")
        assert set() == server.tasks("FAILED")

    @pytest.mark.long
    @pytest.mark.parametrize("listens", [False, True])
    def test_a_missing_scheduler_is_told_soon(self, run_luigi, listens):
        """Where nothing listens, or something that never answers, the run ends within 10 s and says what to do."""
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            if listens:
                silent.listen()
            port = silent.getsockname()[1]
            for _attempt in range(3):  # other tests run beside this one
                began = time.monotonic()
                result = run_luigi("ExportAllVersions", "--versions=1", "--scheduler-port", port, local_scheduler=False)
                seconds = time.monotonic() - began
                if seconds < 10:
                    break
        assert 10 > seconds
        assert 40 == result.returncode
        assert "luigid --address 127.0.0.1" in last_line(result)
        assert "add --local-scheduler" in last_line(result)
        assert "Traceback" not in result.stderr
        assert "NoneType" not in result.stderr

    @pytest.mark.long
    def test_a_paused_scheduler_is_told(self, run_luigi, luigid):
        """With the switch on its page on pause nothing is started; the last line says so."""
        server = luigid()
        server.ask("pause")
        options = ("--version=1", "--dataset=small", "--scheduler-port", server.port)
        result = run_luigi("ExportVersion", *options, local_scheduler=False, check=25)
        assert "ERROR: the scheduler is paused: resume it on its page, and run again" == last_line(result)
        assert [] == names_in(run_luigi.base)
        server.ask("unpause")
        run_luigi("ExportVersion", *options, "--training-iteration=2", local_scheduler=False, check=0)

    @pytest.mark.long
    @pytest.mark.parametrize("workers", [1, 2])
    def test_a_run_ends_with_its_scheduler(self, run_luigi, luigid, workers):
        """A scheduler that goes away in mid-training fails the run; with one worker the segment is finished first.

        With more, Luigi ends its workers, and with them what computes for them: the next run trains the segment again.
        """
        run_luigi.configure("[recipe]\ndataset = small\ntraining_iteration = 5000\n[training]\nsegment = 5000\n")
        server = luigid()
        process = run_luigi.start(
            "ExportVersion",
            "--version=1",
            "--log-level=DEBUG",
            "--scheduler-port",
            server.port,
            "--workers",
            workers,
            local_scheduler=False,
        )
        log = []
        try:
            for line in process.stderr:
                log.append(line)
                if "running   TrainModel" in line:
                    server.process.kill()
            assert 40 == process.wait(timeout=60)
        finally:
            kill_group(process)
        text = "".join(log)
        assert "luigid --address 127.0.0.1" in log[-1]
        if workers == 1:
            assert "The scheduler does not answer; TrainModel(" in text
            assert "goes on without showing its progress" in text
            assert [5000] == iterations_in(run_luigi.records())
            (lineage,) = (run_luigi.directory / "work" / "training").iterdir()
            assert ["5000"] == names_in(lineage)
        run_luigi("ExportVersion", "--version=1", "--workers", workers, check=0)
        assert [5000] == iterations_in(run_luigi.records())
