"""Follow a version to the servers: wait until each of them serves it, and compare what it answers there."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tasks.errors import RolloutFailed
from tasks.serving.config_file import read_config
from tasks.serving.servers import AVAILABLE, ModelServer, VersionStatus
from tasks.versions.golden import TOLERANCE, read_golden, score_difference

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
FORGET_SECONDS = 3.0  # file_system_poll_wait_seconds (1) and what the server does then, with room
LOADING = "LOADING"
COMING = {"START", LOADING}


class _Silent(RolloutFailed):
    """A server that gives no answer."""


Seen = Mapping[str, Mapping[int, VersionStatus]]  # a server's address -> version -> what the server said of it


@dataclass(frozen=True)
class Rollout:
    """The servers of one model, and how long to wait for them; without servers, how long to wait instead.

    Unless `require_all`, servers that do not answer are left out, as long as one of them does. With `reload`, the
    config file is sent to them; else they have to read it.
    """

    model: str
    servers: Sequence[ModelServer]
    timeout_seconds: float
    wait_seconds: float = 0.0
    require_all: bool = True
    reload: bool = False

    def look(self) -> tuple[Rollout, Seen]:
        """The servers that answer, and what they say; raises RolloutFailed."""
        seen: dict[str, Mapping[int, VersionStatus]] = {}
        silent = []
        for server in self.servers:
            try:
                seen[server.address] = {status.version: status for status in server.statuses(self.model)}
            except RolloutFailed as error:
                if self.require_all:
                    raise
                silent.append(str(error))
        self._leave_out(silent)
        answering = [server for server in self.servers if server.address in seen]
        return replace(self, servers=answering) if silent else self, seen

    def _leave_out(self, silent: Sequence[str]) -> None:
        if silent and len(silent) == len(self.servers):
            raise RolloutFailed(f"no server answers: {'; '.join(silent)}")
        for line in silent:
            logger.warning("Going on without a server, which follows when it reads the config file: %s", line)

    def send(self, config_path: Path) -> None:
        """Send the servers the config file as it is now, if they are to be sent it; raises RolloutFailed."""
        sent = None
        while self.reload and sent != (now := read_config(config_path).SerializeToString(deterministic=True)):
            for server in self.servers:
                server.reload(now, self.timeout_seconds)
            sent = now  # and once more, if another process has changed it meanwhile and was faster

    def wait_for(self, version: int, *, listed_since: float, seen: Seen | None = None) -> None:
        """Wait until every server says that `version` is available, or, without servers, for the stated time.

        That counts from `listed_since`: when the config file that lists it was written, in seconds since the epoch.
        A failure that is in `seen`, which was there before, is not taken for the end: the version is loaded anew.

        Raises:
            RolloutFailed: the version has failed on a server, or is not available when the time is up.
        """
        if not self.servers:
            self._sleep(listed_since + self.wait_seconds, f"for whoever reads the config to load {version}")
            return
        silent, deadline = list[str](), time.monotonic() + self.timeout_seconds
        for server in self.servers:
            former = (seen or {}).get(server.address, {}).get(version)
            try:
                self._wait_for_one(server, version, deadline, former, listed_since + self.wait_seconds)
            except _Silent as error:
                silent.append(str(error))
        self._leave_out(silent)

    def wait_until_forgotten(self, version: int, *, unlisted_since: float) -> None:
        """Wait until the servers have looked at a policy without `version`: only then they load it anew."""
        seconds = FORGET_SECONDS if self.reload else self.wait_seconds
        self._sleep(unlisted_since + seconds, f"for the servers to see a policy without {version}", most=seconds)

    def _sleep(self, until: float, what: str, most: float | None = None) -> None:
        seconds = max(0.0, min(until - time.time(), self.wait_seconds if most is None else most))
        if seconds:
            logger.info("Waiting %.0f s %s", seconds, what)
            time.sleep(seconds)

    def _wait_for_one(
        self, server: ModelServer, version: int, deadline: float, former: VersionStatus | None, believed_after: float
    ) -> None:
        what, told = f"{server.address}: version {version} of {self.model}", ""
        while True:
            try:
                known = {status.version: status for status in server.statuses(self.model)}
            except RolloutFailed as error:  # it may be starting; what it last said is told when the time is up
                problem = str(error)
                if not self.require_all:
                    raise _Silent(problem) from error
            else:
                status = known.get(version, VersionStatus(version, "not known", ""))
                if status.state == AVAILABLE:
                    logger.info("%s serves version %d of %s", server.address, version, self.model)
                    return
                is_busy = any(one.state in COMING for one in known.values())
                if status != former or (time.time() > believed_after and not is_busy):
                    former = None  # what is said from now on is new
                if status.has_failed and former is None:
                    raise RolloutFailed(f"{what} failed there: {status.error}")
                problem = what + _describe_wait(status)
            if problem != told:
                logger.info("Waiting: %s", problem)
                told = problem
            if time.monotonic() + POLL_SECONDS > deadline:
                raise RolloutFailed(f"{problem}; given up after {self.timeout_seconds:g} s")
            time.sleep(POLL_SECONDS)

    def describe(self) -> list[str]:
        """One line for each server: the versions that it tells of."""
        told = [(server.address, server.statuses(self.model)) for server in self.servers]
        ordered = ((address, sorted(statuses, key=lambda status: status.version)) for address, statuses in told)
        return [f"{address}: {', '.join(map(str, statuses)) or 'nothing'}" for address, statuses in ordered]

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


def _describe_wait(status: VersionStatus) -> str:
    if status.has_failed:
        return f" failed there before, and is not loaded anew yet: {status.error}"
    more = " (a load that fails is tried again, and the server's log alone says why)" if status.state == LOADING else ""
    return f" is {status.state} there{more}"
