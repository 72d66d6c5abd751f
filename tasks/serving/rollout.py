"""Follow a version to the servers: wait until each of them serves it, and compare what it answers there."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import RolloutFailed
from tasks.serving.servers import AVAILABLE, END, ModelServer, VersionStatus
from tasks.versions.golden import TOLERANCE, read_golden, score_difference

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Rollout:
    """The servers of one model, and how long to wait for them; without servers, how long to wait instead."""

    model: str
    servers: Sequence[ModelServer]
    timeout_seconds: float
    wait_seconds: float = 0.0

    def check_answers(self) -> None:
        """Make sure that every server answers; raises RolloutFailed."""
        for server in self.servers:
            server.statuses(self.model)

    def wait_for(self, version: int, *, listed_since: float) -> None:
        """Wait until every server says that `version` is available, or, without servers, for the stated time.

        That counts from `listed_since`: when the config file that lists it was written, in seconds since the epoch.

        Raises:
            RolloutFailed: the version has failed on a server, or is not available when the time is up.
        """
        if not self.servers:
            seconds = max(0.0, min(listed_since + self.wait_seconds - time.time(), self.wait_seconds))
            if seconds:
                logger.info("No server given: waiting %.0f s for whoever reads the config to load %d", seconds, version)
                time.sleep(seconds)
            return
        deadline = time.monotonic() + self.timeout_seconds
        for server in self.servers:
            self._wait_for_one(server, version, deadline)

    def _wait_for_one(self, server: ModelServer, version: int, deadline: float) -> None:
        what, told = f"{server.address}: version {version} of {self.model}", ""
        while True:
            try:
                known = {status.version: status for status in server.statuses(self.model)}
                status = known.get(version, VersionStatus(version, "not known", ""))
            except RolloutFailed as error:  # it may be starting; what it last said is told when the time is up
                problem = str(error)
            else:
                if status.state == AVAILABLE:
                    logger.info("%s serves version %d of %s", server.address, version, self.model)
                    return
                if status.state == END and status.error:
                    raise RolloutFailed(f"{what} failed there: {status.error}")
                problem = f"{what} is {status.state} there"
            if problem != told:
                logger.info("Waiting: %s", problem)
                told = problem
            if time.monotonic() + POLL_SECONDS > deadline:
                raise RolloutFailed(f"{problem}; given up after {self.timeout_seconds:g} s")
            time.sleep(POLL_SECONDS)

    def describe(self) -> list[str]:
        """One line for each server: the versions that it tells of."""
        told = [(server.address, server.statuses(self.model)) for server in self.servers]
        return [f"{address}: {', '.join(map(str, statuses)) or 'nothing'}" for address, statuses in told]

    def replay(self, version: int, version_directory: Path) -> None:
        """Send each server the golden requests of a version.

        One that was made elsewhere may carry none; then nothing is compared, which the log says.

        Raises:
            RolloutFailed: a server does not answer them as when the version was exported.
        """
        try:
            golden = read_golden(version_directory)
        except ValueError as error:
            raise RolloutFailed(str(error)) from error
        if not golden:
            logger.warning("%s carries no golden requests: what the servers answer was not compared", version_directory)
            return
        for server in self.servers:
            for kind, (request, expected) in golden.items():
                difference = score_difference(expected, server.ask(self.model, version, kind, request))
                if not difference <= TOLERANCE:
                    raise RolloutFailed(
                        f"{server.address}: version {version} of {self.model} does not answer as when it was exported: "
                        f"the scores of {kind} differ by {difference:g}, allowed is {TOLERANCE:g}"
                    )
            logger.info("%s answers %d golden requests as when they were exported", server.address, len(golden))
