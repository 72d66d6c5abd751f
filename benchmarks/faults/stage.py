"""The commands that are disturbed, what they begin with, and what they make of it undisturbed."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.faults.place import CONFIG, Lost, Place

NOW = ("--wait-seconds", "0.01")
BUCKET = ("--bucket", "bucket")
# Each changes something: name -> task and options. `first` begins with nothing but luigi.cfg.
COMMANDS = {
    "publish": ("ExportVersion", "--version", "4"),
    "first": ("ExportVersion", "--version", "1"),
    "many": ("ExportAllVersions", "--versions", "4-7", "--workers", "2"),
    "promote": ("PromoteVersion", "--label", "stable", "--version", "3", *NOW),
    "roll back": ("RollBack", "--label", "stable", *NOW),
    "remove a label": ("RemoveLabel", "--label", "canary"),
    "quarantine": ("QuarantineVersion", "--version", "3", "--why", "trial"),
    "retire": ("RetireVersions", "--keep", "1", "--apply"),
    "push": ("PushVersions", "--versions", "2", *BUCKET),
    "pull": ("PullVersions", "--versions", "1", "--base-path", "pulled", *BUCKET),
    "withdraw": ("WithdrawVersions", "--versions", "1", *BUCKET),
}
MANY = COMMANDS["many"]


@dataclass
class Stage:
    """What trials begin with (five versions and labels, or nothing), and what undisturbed commands make of it."""

    scratch: Path
    full: Place
    empty: Place
    good: dict[str, str]  # versions 1 to 12 as they must be
    known: dict[str, tuple[dict[str, str], list[str]]] = field(default_factory=dict)

    @classmethod
    def build(cls, scratch: Path) -> Stage:
        """Make all of it in a folder."""
        places = [Place(scratch / name) for name in ("full", "empty", "all")]
        for place in places:
            place.folder.mkdir()
            (place.folder / "luigi.cfg").write_text(CONFIG)
        full, empty, whole = places
        full.must("ExportAllVersions", "--versions", "1-3,8,9")  # 3 is old enough to be retired
        full.must("TrainModel", "--seed", "4")
        for version in ("1", "2"):
            full.must("PromoteVersion", "--label", "stable", "--version", version, *NOW)
        full.must("PromoteVersion", "--label", "canary", "--version", "1", *NOW)
        for folder in ("bucket", "pulled"):
            (full.folder / folder).mkdir()
        full.must("PushVersions", "--versions", "1", *BUCKET)
        whole.must("ExportAllVersions", "--versions", "1-12", "--workers", "2")
        whole.must("VerifyVersions")
        return cls(scratch, full, empty, whole.content())

    def origin(self, name: str) -> Place:
        """What that command begins with."""
        return self.empty if name == "first" else self.full

    def undisturbed(self, name: str) -> tuple[dict[str, str], list[str]]:
        """What is there after that command, and the steps that it took."""
        if name not in self.known:
            place = self.origin(name).copy(self.scratch / "undisturbed")
            steps = self.scratch / "steps"
            code, told = place.run(*COMMANDS[name], env={"FAULT": "count:0", "FAULT_STEPS": str(steps)})
            if code:
                raise Lost(f"{name} ends with {code} undisturbed: {told[-600:]}")
            told = steps.read_text() if steps.exists() else ""  # with two workers, all is done by others
            self.known[name] = place.content(), told.splitlines()
            shutil.rmtree(place.folder)
            steps.unlink(missing_ok=True)
        return self.known[name]

    def after(self, name: str) -> dict[str, str]:
        """What is there after that command."""
        return self.undisturbed(name)[0]
