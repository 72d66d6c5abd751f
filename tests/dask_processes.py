"""A Dask scheduler and workers in processes of their own, on the loopback interface."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.conftest import BIN, ROOT, free_port


class DaskProcesses:
    """`address` is the scheduler's; workers are started in a folder each, of which the caller knows nothing."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.scheduler = self._start("scheduler", "--port", self.address.rpartition(":")[2])
        self.processes = [self.scheduler]
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self.scheduler.poll() is None, "the scheduler ended"
            assert time.monotonic() < deadline, "the scheduler does not answer"
            time.sleep(0.05)

    def add_workers(self, count: int, *options: str, env=None) -> subprocess.Popen:
        """Start a nanny with `count` workers of one thread, or as `options` say; gives its process."""
        place = self.directory / f"workers-{len(self.processes)}"
        place.mkdir()
        options = options or ("--nthreads", "1")
        process = self._start(
            *("worker", self.address, "--nworkers", str(count), "--local-directory", place, *options), env=env
        )
        self.processes.append(process)
        return process

    def close(self) -> None:
        """End them all; a nanny whose scheduler is gone would wait for it."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", int(self.address.rpartition(":")[2]))) == 0

    def _start(self, kind: str, *options, env=None) -> subprocess.Popen:
        self.directory.mkdir(exist_ok=True)
        with (self.directory / f"{kind}.log").open("ab") as log:
            return subprocess.Popen(
                [BIN / "dask", kind, *options, "--host", "127.0.0.1", "--no-dashboard"],
                cwd=self.directory,
                env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
                stdout=log,
                stderr=log,
            )
