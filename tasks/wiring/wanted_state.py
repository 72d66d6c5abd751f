"""Tasks whose target is that something is so, where no file of theirs tells it: what is served, what a bucket holds."""

from tasks.errors import PipelineError
from tasks.wiring import stopping
from tasks.wiring.failures import ReportedTask
from tasks.wiring.progress import Reporter


class WantedStateTask(ReportedTask):
    """A task that is done when what is wanted is so, whoever has made it so."""

    _has_run = False
    _met: Exception | None = None  # what `is_so` raised

    def complete(self) -> bool:
        """Whether what is wanted is so; right after `run()` always, whatever another process has changed since."""
        if self._has_run:
            self._has_run = False
            return True
        self._met = None
        try:
            return self.is_so()
        except (PipelineError, OSError) as error:
            self._met = error  # run() meets it too, and says what it is
            return False

    def is_so(self) -> bool:
        """Whether what is wanted is so; by default it has to be done each time."""
        return False

    def run(self) -> None:
        report = Reporter(self, page=self.page())
        with stopping.tidying_up():
            told = self.change()
        report.finish(told)
        self._has_run = True

    def page(self) -> str | None:
        """The address of a page about what it changes."""
        return None

    def change(self) -> str:
        """Make it so; gives what has changed, in words and numbers alone, as the scheduler's page takes it for HTML."""
        raise NotImplementedError
