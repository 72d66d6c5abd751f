"""Change what is served: each task's target is the state that is wanted, so that doing it twice changes nothing.

PromoteVersion points a label at a version, RollBack at what it pointed at before; QuarantineVersion takes one
version back at once, RetireVersions old ones that nobody needs. ConfirmRollout changes nothing: it waits until the
servers serve a version, and compares what they answer. The config file of the servers says what is served now,
`releases.jsonl` beside it how it came to that.
"""

import logging
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import luigi

from tasks.errors import InvalidParameter, PipelineError
from tasks.execution import calls
from tasks.execution.computations import verify_version
from tasks.recipes.checks import number, whole_number
from tasks.serving import promotion, quarantine, retirement
from tasks.serving.config_file import find_model, read_config
from tasks.serving.release_log import Move
from tasks.serving.rollout import Rollout
from tasks.serving.servers import ModelServer, VersionStatus, find_servers
from tasks.serving.transaction import ServedModel
from tasks.versions.golden import Rows
from tasks.versions.numbers import MOST_VERSIONS
from tasks.versions.tree import ERROR, QUARANTINED, find_versions
from tasks.wiring.command_line import command
from tasks.wiring.failures import ReportedTask
from tasks.wiring.parameters import CheckedParameter, FolderParameter, ListOfStringsParameter, VersionParameter
from tasks.wiring.recipe_lookup import complete_values
from tasks.wiring.terminal import say_last

logger = logging.getLogger(__name__)

WHERE = ("base_path", "config_path", "model_name", "keep_loaded", "server", "wait_seconds", "timeout_seconds")
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
        return ServedModel(config_path, base_path, name, self.keep_loaded, partial(find_fault, base_path))


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

    def tell(self, moves: Iterable[Move], undo: Callable[[Move], str]) -> None:
        """Say last what was changed, where, and what undoes it."""
        for move in moves:
            came = "is new" if move.before is None else f"was on version {move.before}"
            say_last(f"Label {move.label} of {move.model} is on version {move.after} in {self.config_path}; it {came}")
            say_last(f"Undo it: {f'remove it from {self.config_path}' if move.before is None else undo(move)}")


class PromoteVersion(LabelTask):
    """A label points at a version."""

    version = VersionParameter(description="the version's number")

    def is_so(self) -> bool:
        served = self.find_served()
        return served.labels().get(self.label) == self.version and (served.base_path / str(self.version)).is_dir()

    def change(self) -> None:
        moves = promotion.promote(self.find_served(), self.label, self.version, find_rollout(self), why=self.why)
        self.tell(moves, lambda _: command(self, "RollBack", *WHERE, label=self.label))


class RollBack(LabelTask):
    """A label points at what it pointed at before its last move; done once, whoever asks again."""

    def is_so(self) -> bool:
        is_done = promotion.is_rolled_back(self.find_served(), self.label)
        if is_done:
            logger.info("Label %s was rolled back already; PromoteVersion takes it further", self.label)
        return is_done

    def change(self) -> None:
        moves = promotion.roll_back(self.find_served(), self.label, find_rollout(self), why=self.why)
        self.tell(moves, lambda move: command(self, "PromoteVersion", *WHERE, label=self.label, version=move.before))


class QuarantineVersion(ReleaseTask):
    """A version is taken back: its folder `5` is called `5.denied`, and no server serves it."""

    version = VersionParameter(description="the version's number")
    force = luigi.BoolParameter(significant=False, description="even if a label points at it, which is then removed")

    def is_so(self) -> bool:
        return quarantine.is_done(self.find_served(), self.version)

    def change(self) -> None:
        served = self.find_served()
        labels = [label for label, version in served.labels().items() if version == self.version]
        quarantine.quarantine(served, self.version, force=self.force, why=self.why)
        path = shlex.quote(str(served.base_path / str(self.version)))
        again = [command(self, "PromoteVersion", *WHERE, label=label, version=self.version) for label in labels]
        lost = f", without label {', '.join(labels)}" if labels else ""
        say_last(f"Version {self.version} of {served.name} is {path}{QUARANTINED} and not in {self.config_path}{lost}")
        say_last(f"Undo it: {' && '.join([f'mv {path}{QUARANTINED} {path}', *again])}")


class RetireVersions(ReleaseTask):
    """Old versions are gone; without --apply it only prints which would go, and what that frees."""

    keep = CheckedParameter(
        whole_number(1, MOST_VERSIONS), 3, "how many of the newest versions stay; those in use stay anyway"
    )
    apply = luigi.BoolParameter(significant=False, description="remove them")

    def change(self) -> None:
        lines = retirement.retire(self.find_served(), self.keep, apply=self.apply, why=self.why)
        say_last("\n".join(lines))
        if self.apply and len(lines) > 1:
            say_last(
                f"They are not in {self.config_path} either. Only ExportVersion brings them back, by making them again"
            )


class ConfirmRollout(ReleaseTask):
    """The servers serve a version, and answer as it did when it was exported."""

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
        say_last("\n".join([f"published: {published}; labels: {pointing or 'none'}", *rollout.describe()]))


def find_fault(base_path: Path, version: int) -> str | None:
    """Why a version must not be served, by verification; None if it may."""
    verified = calls.run(verify_version, base_path / str(version), threads=_threads())
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
