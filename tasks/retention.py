"""Take versions out of the tree: at once what must not be served, in time what nobody needs.

QuarantineVersion takes one version back, RetireVersions removes old ones. What a label points at stays, but for a
quarantine with --force; both leave a line in `releases.jsonl`, as every release does.
"""

import shlex

from tasks.recipes.checks import whole_number
from tasks.release import PLACE, ReleaseTask
from tasks.serving import quarantine, retirement
from tasks.versions.numbers import MOST_VERSIONS
from tasks.versions.tree import QUARANTINED
from tasks.wiring.command_line import command
from tasks.wiring.parameters import CheckedParameter, FlagParameter, VersionParameter
from tasks.wiring.terminal import say_last


class QuarantineVersion(ReleaseTask):
    """A version is taken back: its folder `5` is called `5.denied`, and no server serves it."""

    shown = ("version",)
    version = VersionParameter(description="the version's number")
    force = FlagParameter(description="even if a label points at it, which is then removed")

    def is_so(self) -> bool:
        return quarantine.is_done(self.find_served(), self.version)

    def change(self) -> str:
        served = self.find_served()
        labels = [label for label, version in served.labels().items() if version == self.version]
        quarantine.quarantine(served, self.version, force=self.force, why=self.why)
        path = shlex.quote(str(served.base_path / str(self.version)))
        again = [command(self, "PromoteVersion", *PLACE, label=label, version=self.version) for label in labels]
        lost = f", without label {', '.join(labels)}" if labels else ""
        say_last(f"Version {self.version} is {path}{QUARANTINED} and not in {self.config_path}{lost}")
        say_last(f"Undo it: {' && '.join([f'mv {path}{QUARANTINED} {path}', *again])}")
        return f"version {self.version} is taken back"


class RetireVersions(ReleaseTask):
    """Old versions are gone; without --apply it only prints which would go, and what that frees."""

    shown = ("keep",)
    keep = CheckedParameter(
        whole_number(1, MOST_VERSIONS), 3, "how many of the newest versions stay; those in use stay anyway"
    )
    apply = FlagParameter(description="remove them")

    def change(self) -> str:
        lines = retirement.retire(self.find_served(), self.keep, apply=self.apply, why=self.why)
        say_last("\n".join(lines))
        if self.apply and len(lines) > 1:
            say_last(
                f"They are not in {self.config_path} either. Only ExportVersion brings them back, by making them again"
            )
        return lines[-1]  # how many, how much and which stay; those before it have paths
