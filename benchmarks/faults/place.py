"""Folders in which commands are run and disturbed, and what must hold in them afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from benchmarks.measuring import descendants, tool

ROOT = Path(__file__).parent.parent.parent
CONFIG = "[recipe]\ndataset = digits\ntraining_iteration = 40\n[training]\nsegment = 20\n" + "".join(
    f"[recipe.{version}]\nseed = {version}\n" for version in range(1, 13)
)
for _task in ("PromoteVersion", "RollBack", "RemoveLabel", "QuarantineVersion", "RetireVersions"):
    CONFIG += f"[{_task}]\nserver_base_path = /models/mnist\n"  # each trial has a folder of its own
DOCUMENTED = {0, 10, 20, 25, 30, 35, 40, 129, 130, 143}  # exit codes
SECONDS = 120  # that any command may take
VARYING = ("records.jsonl", "curve.json", "checksums.json", "output.log")  # from run to run, by what they say of time
LABELS = ("label", "from", "to")
STRIKES = ("Luigi", "a child", "all", "Ctrl-C", "SIGTERM")  # whom, or with what


class Lost(Exception):
    """Something did not hold; the text says what."""


@dataclass(frozen=True)
class Place:
    """A folder with luigi.cfg, models/, work/, bucket/ and pulled/."""

    folder: Path

    def copy(self, to: Path) -> Place:
        """The same, elsewhere."""
        shutil.copytree(self.folder, to, symlinks=True)
        return Place(to)

    def start(
        self, *command: str, env: Mapping[str, str] | None = None, limit: int | None = None, local: bool = True
    ) -> subprocess.Popen[str]:
        """Start `luigi ... TASK`; `limit` is the size (bytes) that no file may grow beyond."""
        words = [str(tool("luigi")), "--module", "benchmarks.faults.steps", *command]
        if limit is not None:
            words = ["bash", "-c", f'ulimit -f {limit // 1024}; trap "" XFSZ; exec "$@"', "bash", *words]
        return subprocess.Popen(
            [*words, *(["--local-scheduler"] if local else [])],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "FAULT_BELOW": str(self.folder), **(env or {})}
            | {"MARK": str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str, env: Mapping[str, str] | None = None, limit: int | None = None) -> tuple[int, str]:
        """Run it to its end; gives its exit code and what it wrote to standard error."""
        return finish(self.start(*command, env=env, limit=limit))

    def must(self, *command: str) -> None:
        """Run it; raises Lost unless it ends with 0."""
        code, told = self.run(*command)
        if code:
            raise Lost(f"{command[0]} ends with {code}: {told[-600:]}")

    def content(self) -> dict[str, str]:
        """All files and folders: path -> what is in it, without what varies from run to run."""
        return dict(self._content())

    def _content(self) -> Iterator[tuple[str, str]]:
        for path in sorted(self.folder.rglob("*")):
            name = str(path.relative_to(self.folder))
            if path.name in VARYING:
                continue
            if path.name == "releases.jsonl":
                yield name, str(self.moves(path))
            elif path.is_file() and not path.name.endswith(".lock") and "locks" not in path.parts:
                yield name, hashlib.sha256(path.read_bytes()).hexdigest()
            elif name.startswith(("models/mnist", "bucket", "pulled")):
                yield name, "folder"

    @staticmethod
    def moves(log: Path) -> list[list[object]]:
        """What the log of releases says: label, from, to, one after the other."""
        return [[json.loads(line).get(key) for key in LABELS] for line in log.read_text().splitlines()]

    def check_versions(self, good: Mapping[str, str]) -> None:
        """Whatever bears a number is whole: each version's files are those of `good`; raises Lost."""
        for tree in ("models/mnist", "pulled"):
            for folder in (self.folder / tree).glob("[0-9]*"):
                if folder.name.isdecimal():
                    self._check_version(folder, f"{tree}/", good, folder)
        for model in (self.folder / "bucket").glob("[0-9]*/saved_model.pb"):
            self._check_version(model.parent, "bucket/", good, model)

    def _check_version(self, folder: Path, tree: str, good: Mapping[str, str], sign: Path) -> None:
        """The version is visible as long as `sign` is there."""
        expected = {
            name.split("/", 3)[3]: digest
            for name, digest in good.items()
            if name.startswith(f"models/mnist/{folder.name}/") and digest != "folder"
        }
        found = {}
        with contextlib.suppress(FileNotFoundError):  # it is taken away while it is read
            found = {
                str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in folder.rglob("*")
                if path.is_file() and not any(part.startswith(".aside-") for part in path.relative_to(folder).parts)
            }
        if expected != found and sign.exists():
            different = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
            raise Lost(f"{tree}{folder.name} is visible and not whole: {', '.join(different[:3])}")

    def check_log(self) -> None:
        """Where each label points is where the log says that it went last; raises Lost."""
        path, log = self.folder / "models" / "models.config", self.folder / "models" / "releases.jsonl"
        if not path.exists():
            return
        config = model_server_config_pb2.ModelServerConfig()
        text_format.Parse(path.read_text(), config)
        labels = dict(config.model_config_list.config[0].version_labels)
        told = {label: to for label, _, to in self.moves(log) if label} if log.exists() else {}
        told = {label: to for label, to in told.items() if to is not None}
        if labels != told:
            raise Lost(f"the config file says {labels}, the log {told}")

    def check_alone(self, seconds: float = 8.0) -> None:
        """No process of a command that was run here is left; raises Lost."""
        deadline = time.monotonic() + seconds
        while left := self._processes():
            if time.monotonic() > deadline:
                raise Lost(f"{len(left)} processes are left")
            time.sleep(0.05)

    def _processes(self) -> list[str]:
        mark, found = f"MARK={self.folder}\0".encode(), []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (entry / "environ").read_bytes() and ") Z " not in (entry / "stat").read_text():
                    found.append(entry.name)
            except OSError:
                continue
        return found


def strike(process: subprocess.Popen[str], who: str, share: float) -> None:
    """Kill a command, one of its children (which of them, `share` says), or all; or send what ends it."""
    children = descendants(process.pid)[1:]
    with contextlib.suppress(ProcessLookupError):
        if who == "a child" and children:
            os.kill(children[int(share * len(children))], signal.SIGKILL)
        elif who in ("Ctrl-C", "SIGTERM"):
            os.killpg(process.pid, signal.SIGINT if who == "Ctrl-C" else signal.SIGTERM)
        elif who == "all":
            for pid in [process.pid, *children]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        else:
            process.kill()


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a command; one that does not end is killed, and Lost raised."""
    try:
        _, told = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise Lost(f"does not end within {SECONDS} s") from None
    return process.returncode, told


def check_end(code: int, told: str, *, killed: bool = False) -> None:
    """The exit code is a documented one, and what was told no traceback; raises Lost."""
    if killed and code == -signal.SIGKILL:
        return
    if code not in DOCUMENTED:
        raise Lost(f"ends with {code}: {told[-400:]}")
    if "Traceback" in told:
        raise Lost(f"a traceback: {told[-900:]}")
    if code and not told.strip():
        raise Lost(f"ends with {code}, and says nothing")


def differences(expected: Mapping[str, str], found: Mapping[str, str]) -> Sequence[str]:
    """The paths that differ."""
    return sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
