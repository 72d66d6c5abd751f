"""A chain of tasks that is run without the scheduler."""

import threading
import time

import luigi

from tasks.wiring.sharing import run_here
from tests.conftest import names_in


class Step(luigi.Task):
    """Writes a file, after the step before it has."""

    number = luigi.IntParameter()
    work_dir = luigi.Parameter()
    ran: list = []  # noqa: RUF012 - of all steps

    def requires(self):
        return {"before": self.clone(number=self.number - 1)} if self.number > 1 else []

    def output(self):
        return luigi.LocalTarget(f"{self.work_dir}/{self.number}")

    def run(self):
        time.sleep(0.05)
        self.ran.append((self.number, self.set_status_message))
        with self.output().open("w") as stream:
            stream.write("done")


class Shown:
    """The task that the scheduler knows."""

    set_status_message = set_progress_percentage = "of the shown one"


def test_what_is_missing_is_run_in_order(tmp_path):
    """What a task needs comes first, what is there already is left alone, and progress goes to the shown task."""
    Step.ran.clear()
    (tmp_path / "1").write_text("there")
    run_here(Step(3, str(tmp_path)), Shown)
    assert [(2, "of the shown one"), (3, "of the shown one")] == Step.ran
    assert "there" == (tmp_path / "1").read_text()


def test_two_that_need_the_same_wait_for_each_other(tmp_path):
    """A step that two workers of a host need at once is run by one of them."""
    Step.ran.clear()
    threads = [threading.Thread(target=run_here, args=(Step(number, str(tmp_path)), Shown)) for number in (2, 3, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [1, 2, 3] == [number for number, _ in Step.ran]
    assert ["1", "2", "3", "locks"] == names_in(tmp_path)
