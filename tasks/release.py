"""Change what is served: each task's target is the state that is wanted, so that doing it twice changes nothing.

PromoteVersion points a label at a version, RollBack at what it pointed at before, RemoveLabel at nothing.
ConfirmRollout changes nothing: it waits until the servers serve a version, and compares what they answer. The config
file of the servers says what is served now, `releases.jsonl` beside it how it came to that.
"""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import luigi

from tasks.errors import InvalidParameter, PipelineError
from tasks.execution import calls
from tasks.execution.computations import verify_version
from tasks.execution.servers import ServerInEngine
from tasks.recipes.checks import number, whole_number
from tasks.serving import foreign, promotion
from tasks.serving.release_log import Move
from tasks.serving.rollout import Rollout
from tasks.serving.servers import CALL_SECONDS, find_servers
from tasks.serving.transaction import ServedModel
from tasks.versions import signing
from tasks.versions.numbers import MOST_VERSIONS
from tasks.versions.tree import ERROR, find_versions
from tasks.wiring.command_line import command
from tasks.wiring.parameters import (
    BasePathParameter,
    CheckedParameter,
    FlagParameter,
    FolderParameter,
    LabelParameter,
    ListOfStringsParameter,
    PublicKeyParameter,
    ServerPathParameter,
    VersionParameter,
)
from tasks.wiring.progress import counted
from tasks.wiring.recipe_lookup import complete_values
from tasks.wiring.terminal import say_last
from tasks.wiring.wanted_state import WantedStateTask

logger = logging.getLogger(__name__)

PLACE = ("base_path", "config_path", "server_base_path", "model_name", "keep_loaded", "public_key", "server", "reload")
SECONDS_OF_A_MOVE = ("wait_seconds", "timeout_seconds")
WEEK = 604_800  # seconds
SECONDS = number(f"a number of seconds from 0 to {WEEK:,}", lambda seconds: 0 <= seconds <= WEEK)


class ReleaseTask(WantedStateTask):
    """A change of what is served, of one model in one config file."""

    base_path = BasePathParameter(default="models/mnist", description="the folder that TensorFlow Serving watches")
    config_path = FolderParameter(default="models/models.config", description="the file in --model_config_file")
    server_base_path = ServerPathParameter(
        default="", description="the base path as the servers see it, in a container or on gs://; default: the same"
    )
    model_name = luigi.Parameter(default="", description="default: as in the config file, or the base path's last part")
    keep_loaded = CheckedParameter(
        whole_number(0, MOST_VERSIONS),
        2,
        "versions loaded without a label, too: where labels came from, then the newest",
    )
    public_key = PublicKeyParameter("file with a public key: what is not signed by it is not served")
    why = luigi.Parameter(default="", description="free text for releases.jsonl")

    is_emergency = False  # in one, a signature that does not count is told, and no more

    def page(self) -> str | None:
        """Where the first server that is asked over REST tells the status of the model."""
        web = [address for address in getattr(self, "server", ()) if address.startswith("http")]
        return f"{find_servers(web)[0].address}/v1/models/{quote(self.find_served().look().name)}" if web else None

    def find_served(self) -> ServedModel:
        """The model as the config file has it."""
        config_path, base_path = Path(self.config_path).resolve(), Path(self.base_path)
        if base_path.resolve() in config_path.parents:
            raise InvalidParameter(
                f"config_path {config_path}: must not lie in the base path, which holds versions only"
            )
        key = Path(self.public_key) if self.public_key else None
        verdict = partial(
            find_fault, base_path, config_path=config_path, public_key=key, is_emergency=self.is_emergency
        )
        return ServedModel(config_path, base_path, self.model_name, self.keep_loaded, verdict, self.server_base_path)


class LabelTask(ReleaseTask):
    """A change of a label."""

    label = LabelParameter(default="", description="such as stable or canary")
    server = ListOfStringsParameter(default=(), description="host:port (gRPC) or http://host:port; several with commas")
    reload = FlagParameter(description="send the config file to the servers (gRPC) instead of waiting for their poll")

    def complete(self) -> bool:
        """As every release task; with --reload, the file has to be sent whatever it says already."""
        return (not self.reload or self._has_run) and super().complete()

    def tell(self, moves: Sequence[Move]) -> str:
        """Say last what was changed, where, and what undoes it; gives it for the scheduler's page, without any name."""
        told = []
        for move in moves:
            now = "gone" if move.after is None else f"version {move.after}"
            before = "not there" if move.before is None else f"version {move.before}"
            say_last(f"Label {move.label} of {move.model} is now {now} in {self.config_path}; it was {before}")
            say_last(f"Undo it: {self.undo(move)}")
            told.append(f"now {now}, before {move.before or 'none'}")
        return ", ".join(told) or "nothing was to be changed"

    def undo(self, move: Move) -> str:
        """The command that takes a move back."""
        if move.before is None:
            return command(self, "RemoveLabel", *PLACE, label=self.label)
        return command(self, "RollBack", *PLACE, *SECONDS_OF_A_MOVE, label=self.label)


class MoveTask(LabelTask):
    """A label that moves, in two phases: the servers must have loaded a version before a label may point at it."""

    timeout_seconds = CheckedParameter(
        SECONDS, 420.0, "for the servers to load it: more than their five more tries, a minute apart"
    )
    wait_seconds = CheckedParameter(
        SECONDS,
        60.0,
        "without --server: more than the servers' --model_config_file_poll_wait_seconds and the loading",
    )


class PromoteVersion(MoveTask):
    """A label points at a version."""

    shown = ("label", "version")
    version = VersionParameter(description="the version's number")
    allow_foreign = FlagParameter(description="even if it was made elsewhere; its checksums go to foreign.json")

    def is_so(self) -> bool:
        served = self.find_served()
        return served.labels().get(self.label) == self.version and (served.base_path / str(self.version)).is_dir()

    def change(self) -> str:
        served = self.find_served()
        record = foreign.admit(served, self.version, is_allowed=self.allow_foreign)
        rollout = find_rollout(self, served)
        return self.tell(promotion.promote(served, self.label, self.version, rollout, why=self.why, first=record))


class RollBack(MoveTask):
    """A label points at what it pointed at before its last move; done once, whoever asks again."""

    shown = ("label",)
    is_emergency = True
    require_all = FlagParameter(
        description="fail if one of the servers does not answer, instead of going on without it"
    )

    def is_so(self) -> bool:
        is_done = promotion.is_rolled_back(self.find_served().look(), self.label)
        if is_done:
            logger.info("Label %s was rolled back already; PromoteVersion takes it further", self.label)
        return is_done

    def change(self) -> str:
        served = self.find_served()
        return self.tell(promotion.roll_back(served, self.label, find_rollout(self, served), why=self.why))

    def undo(self, move: Move) -> str:
        if move.before is None:
            return super().undo(move)
        options = {"label": self.label, "version": move.before}
        return command(self, "PromoteVersion", *PLACE, *SECONDS_OF_A_MOVE, **options)


class RemoveLabel(LabelTask):
    """A label points at nothing; RollBack brings it back."""

    shown = ("label",)

    def is_so(self) -> bool:
        labels = self.find_served().labels()
        if self.label not in labels:
            there = ", ".join(f"{label} -> {version}" for label, version in labels.items())
            logger.info("There is no label %s; labels: %s", self.label, there or "none")
        return self.label not in labels

    def change(self) -> str:
        served = self.find_served()
        return self.tell(promotion.remove_label(served, self.label, find_rollout(self, served), why=self.why))


class ConfirmRollout(ReleaseTask):
    """The servers serve a version, and answer as it did when it was exported.

    One that was made elsewhere carries no golden requests: its answers are not compared then, and a warning says so.
    """

    shown = ("version",)
    version = VersionParameter(description="the version's number")
    server = ListOfStringsParameter(default=(), description="host:port (gRPC) or http://host:port; several with commas")
    timeout_seconds = CheckedParameter(SECONDS, 420.0, "for the servers to load it")

    def change(self) -> str:
        if not self.server:
            raise InvalidParameter("server: none given, so there is nothing to confirm")
        served = self.find_served()
        rollout = find_rollout(self, served)
        promotion.check_fit(served, self.version)
        rollout.wait_for(self.version, listed_since=0.0)
        rollout.replay(self.version, served.base_path / str(self.version))
        published = ", ".join(map(str, find_versions(served.base_path)))
        pointing = ", ".join(f"{label} -> {version}" for label, version in served.labels().items())
        say_last("\n".join([f"published: {published}; labels: {pointing or 'none'}", *rollout.describe()]))
        return f"version {self.version} is confirmed by {counted(len(rollout.servers), 'server')}"


def find_fault(
    base_path: Path, version: int, *, config_path: Path, public_key: Path | None = None, is_emergency: bool = False
) -> str | None:
    """Why a version must not be served, by verification; None if it may."""
    directory = base_path / str(version)
    if public_key is not None:
        try:
            flaw = signing.find_flaw(directory, public_key)
        except PipelineError as error:  # a key that cannot be read is no fault of the version
            if not is_emergency:
                raise
            flaw = str(error)
        if flaw and is_emergency:
            logger.warning("Version %d %s; it was promoted before, so a roll-back goes on", version, flaw)
    promoted = foreign.promoted_files(config_path, base_path, version)
    verified = calls.run(verify_version, directory, promoted, None if is_emergency else public_key, threads=_threads())
    errors = [fault.message for fault in verified.faults if fault.severity == ERROR]
    return f"{directory} fails verification: {'; '.join(errors)}" if errors else None


def find_rollout(task: Any, served: ServedModel) -> Rollout:
    """The servers that a task names, and how long to wait for them; raises InvalidParameter."""
    reload = getattr(task, "reload", False)
    return Rollout(
        served.look().name,
        [ServerInEngine(server, _threads()) for server in find_servers(task.server, reload=reload)],
        getattr(task, "timeout_seconds", CALL_SECONDS),
        getattr(task, "wait_seconds", 0.0),
        require_all=getattr(task, "require_all", True),
        reload=reload,
    )


def _threads() -> int:
    return int(complete_values({"threads": None})["threads"] or 0)
