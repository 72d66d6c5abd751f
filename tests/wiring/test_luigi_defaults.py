"""The ties to Luigi's workers."""

import json
import logging
import subprocess
import sys
import time

from luigi.interface import _WorkerSchedulerFactory

from tasks.wiring import luigi_defaults
from tests.conftest import ROOT


def run_python(directory, code):
    """What a fresh interpreter prints, as JSON; it must not write to stderr."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=directory,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "" == result.stderr
    assert 0 == result.returncode
    return json.loads(result.stdout)


SHOW_SETTINGS = """
import json
import tasks
from luigi.configuration import get_config
config = get_config()
print(json.dumps([
    config.get("core", "log_level"),
    config.getint("core", "rpc-retry-wait"),
    config.getint("core", "rpc-retry-attempts"),
    config.getint("retcode", "task_failed"),
    config.getint("retcode", "missing_data"),
    config.getboolean("worker", "check_complete_on_run"),
]))
"""


class TestSetUp:
    """What importing the package does to Luigi."""

    def test_sets_defaults(self, tmp_path):
        """Where nothing is configured, the package's own defaults hold."""
        assert ["INFO", 1, 3, 30, 20, True] == run_python(tmp_path, SHOW_SETTINGS)

    def test_leaves_what_is_set(self, tmp_path):
        """A luigi.cfg wins over each default, with dashes or underscores, and the other defaults stay."""
        (tmp_path / "luigi.cfg").write_text(
            "[core]\nlog_level = ERROR\nrpc-retry-wait = 7\n"
            "[retcode]\ntask_failed = 3\n[worker]\ncheck_complete_on_run = false\n"
        )
        assert ["ERROR", 7, 3, 3, 20, False] == run_python(tmp_path, SHOW_SETTINGS)


class TestLocalScheduler:
    """Luigi's scheduler for one process, which looks through all tasks less often."""

    def test_tries_again_what_is_due(self, monkeypatch):
        """As Luigi's own does, a failed task is given again; until it has looked again, it is not."""
        monkeypatch.setattr(luigi_defaults, "PRUNE_SECONDS", 0.3)
        scheduler = _WorkerSchedulerFactory().create_local_scheduler()
        scheduler._config.retry_delay = 0
        scheduler.add_task(task_id="one", worker="worker")
        assert "one" == scheduler.get_work(worker="worker")["task_id"]
        scheduler.add_task(task_id="one", worker="worker", status="FAILED")
        assert scheduler.get_work(worker="worker")["task_id"] is None
        time.sleep(0.4)
        assert "one" == scheduler.get_work(worker="worker")["task_id"]


def test_what_a_terminal_would_obey_is_shown_as_it_is(caplog):
    """Names of files and what servers say may come from anywhere."""
    with caplog.at_level("WARNING", "luigi-interface"):
        logging.getLogger("tasks.serving.promotion").warning("failed before: %s", "\x1b[2Jgood")
    assert {r"failed before: \x1b[2Jgood"} == {record.getMessage() for record in caplog.records}
