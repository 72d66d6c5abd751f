"""Change what is served: each task's target is the state that is wanted, so that doing it twice changes nothing.

PromoteVersion points a label at a version, RollBack at what it pointed at before; QuarantineVersion takes one
version back at once, RetireVersions old ones that nobody needs. ConfirmRollout changes nothing: it waits until the
servers serve a version, and compares what they answer. The config file of the servers says what is served now,
`releases.jsonl` beside it how it came to that.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import luigi

from tasks.errors import InvalidParameter, PipelineError
from tasks.execution import calls
from tasks.execution.computations import verify_version
from tasks.recipes.checks import number, whole_number
from tasks.serving import foreign, promotion, quarantine, retirement
from tasks.serving.config_file import find_model, read_config
from tasks.serving.rollout import Rollout
from tasks.serving.servers import ModelServer, VersionStatus, find_servers
from tasks.serving.transaction import ServedModel
from tasks.versions.golden import Rows
from tasks.versions.numbers import MOST_VERSIONS
from tasks.versions.tree import ERROR, find_versions
from tasks.wiring.failures import ReportedTask
from tasks.wiring.parameters import CheckedParameter, FolderParameter, ListOfStringsParameter, VersionParameter
from tasks.wiring.recipe_lookup import complete_values

logger = logging.getLogger(__name__)

WEEK = 604_800  # seconds
SECONDS = number(f"a number of seconds from 0 to {WEEK:,}", lambda seconds: 0 <= seconds <= WEEK)


class LabelParameter(luigi.Parameter):
    """A version label, as the server allows it."""

    def normalize(self, x: str) -> str:
        if not re.fullmatch(r"[a-zA-Z0-9_]+", x):
            raise InvalidParameter(f"label {x!r}: allowed are letters, digits and underscores")
        return x


class ReleaseTask(ReportedTask):
    """A change of what is served, of one model in one config file."""

    base_path = FolderParameter(default="models/mnist", description="the folder that TensorFlow Serving watches")
    config_path = FolderParameter(default="models/models.config", description="the file in --model_config_file")
    model_name = luigi.Parameter(default="", description="default: as in the config file, or the base path's last part")
    keep_loaded = CheckedParameter(
        whole_number(0, MOST_VERSIONS), 2, "newest versions that are loaded without a label, too"
    )
    why = luigi.Parameter(default="", significant=False, description="free text for releases.jsonl")

    _has_run = False

    def complete(self) -> bool:
        """Whether what is wanted is so; right after `run()` always, whatever another process has changed since."""
        if self._has_run:
            self._has_run = False
            return True
        try:
            return self.is_so()
        except (PipelineError, OSError):
            return False  # run() meets it too, and says what it is

    def is_so(self) -> bool:
        """Whether what is wanted is so."""
        return False

    def run(self) -> None:
        self.change()
        self._has_run = True

    def change(self) -> None:
        """Make it so."""
        raise NotImplementedError

    def find_served(self) -> ServedModel:
        """The model as the config file has it."""
        config_path, base_path = Path(self.config_path).resolve(), Path(self.base_path)
        if base_path.resolve() in config_path.parents:
            raise InvalidParameter(
                f"config_path {config_path}: must not lie in the base path, which holds versions only"
            )
        model = find_model(read_config(config_path), base_path)
        name = self.model_name or (model.name if model is not None else base_path.name)
        verdict = partial(find_fault, base_path, config_path=config_path)
        return ServedModel(config_path, base_path, name, self.keep_loaded, verdict)


class LabelTask(ReleaseTask):
    """A label that moves, in two phases: the servers must have loaded a version before a label may point at it."""

    label = LabelParameter(default="", description="such as stable or canary")
    server = ListOfStringsParameter(
        default=(), significant=False, description="host:port (gRPC) or http://host:port, which must have the version"
    )
    timeout_seconds = CheckedParameter(SECONDS, 300.0, "for the servers to load it", significant=False)
    wait_seconds = CheckedParameter(
        SECONDS,
        60.0,
        "without --server: more than the servers' --model_config_file_poll_wait_seconds and the loading",
        significant=False,
    )


class PromoteVersion(LabelTask):
    """A label points at a version."""

    version = VersionParameter(description="the version's number")
    allow_foreign = luigi.BoolParameter(
        significant=False, description="even if it was made elsewhere; its checksums go to foreign.json"
    )

    def is_so(self) -> bool:
        served = self.find_served()
        return served.labels().get(self.label) == self.version and (served.base_path / str(self.version)).is_dir()

    def change(self) -> None:
        served = self.find_served()
        record = foreign.admit(served, self.version, is_allowed=self.allow_foreign)
        promotion.promote(served, self.label, self.version, find_rollout(self), why=self.why, first=record)


class RollBack(LabelTask):
    """A label points at what it pointed at before its last move; done once, whoever asks again."""

    def is_so(self) -> bool:
        is_done = promotion.is_rolled_back(self.find_served(), self.label)
        if is_done:
            logger.info("Label %s was rolled back already; PromoteVersion takes it further", self.label)
        return is_done

    def change(self) -> None:
        promotion.roll_back(self.find_served(), self.label, find_rollout(self), why=self.why)


class QuarantineVersion(ReleaseTask):
    """A version is taken back: its folder `5` is called `5.denied`, and no server serves it."""

    version = VersionParameter(description="the version's number")
    force = luigi.BoolParameter(significant=False, description="even if a label points at it, which is then removed")

    def is_so(self) -> bool:
        return quarantine.is_done(self.find_served(), self.version)

    def change(self) -> None:
        quarantine.quarantine(self.find_served(), self.version, force=self.force, why=self.why)


class RetireVersions(ReleaseTask):
    """Old versions are gone; without --apply it only prints which would go, and what that frees."""

    keep = CheckedParameter(
        whole_number(1, MOST_VERSIONS), 3, "how many of the newest versions stay; those in use stay anyway"
    )
    apply = luigi.BoolParameter(significant=False, description="remove them")

    def change(self) -> None:
        lines = retirement.retire(self.find_served(), self.keep, apply=self.apply, why=self.why)
        print("\n".join(lines))  # noqa: T201 - what was asked for


class ConfirmRollout(ReleaseTask):
    """The servers serve a version, and answer as it did when it was exported.

    One that was made elsewhere carries no golden requests: its answers are not compared then, and a warning says so.
    """

    version = VersionParameter(description="the version's number")
    server = ListOfStringsParameter(default=(), description="host:port (gRPC) or http://host:port; several with commas")
    timeout_seconds = CheckedParameter(SECONDS, 300.0, "for the servers to load it", significant=False)

    def change(self) -> None:
        if not self.server:
            raise InvalidParameter("server: none given, so there is nothing to confirm")
        served, rollout = self.find_served(), find_rollout(self)
        promotion.check_fit(served, self.version)
        rollout.wait_for(self.version, listed_since=0.0)
        rollout.replay(self.version, served.base_path / str(self.version))
        published = ", ".join(map(str, find_versions(served.base_path)))
        pointing = ", ".join(f"{label} -> {version}" for label, version in served.labels().items())
        print(f"published: {published}; labels: {pointing or 'none'}", *rollout.describe(), sep="\n")  # noqa: T201


def find_fault(base_path: Path, version: int, *, config_path: Path) -> str | None:
    """Why a version must not be served, by verification; None if it may."""
    promoted = foreign.promoted_files(config_path, base_path, version)
    verified = calls.run(verify_version, base_path / str(version), promoted, threads=_threads())
    errors = [fault.message for fault in verified.faults if fault.severity == ERROR]
    return f"{base_path / str(version)} fails verification: {'; '.join(errors)}" if errors else None


def find_rollout(task: Any) -> Rollout:
    """The servers that a task names, and how long to wait for them; raises InvalidParameter."""
    wait = getattr(task, "wait_seconds", 0.0)
    servers = [_InEngine(server) for server in find_servers(task.server)]
    return Rollout(task.find_served().name, servers, task.timeout_seconds, wait)


@dataclass(frozen=True)
class _InEngine:
    """A server that is asked by an engine: the messages of gRPC bring TensorFlow along."""

    server: ModelServer

    @property
    def address(self) -> str:
        return self.server.address

    def statuses(self, model: str) -> list[VersionStatus]:
        return calls.run(self.server.statuses, model, threads=_threads())

    def ask(self, model: str, version: int, kind: str, request: Mapping[str, Any]) -> Rows:
        return calls.run(self.server.ask, model, version, kind, request, threads=_threads())


def _threads() -> int:
    return int(complete_values({"threads": None})["threads"] or 0)
