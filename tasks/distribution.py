"""To and from a bucket: each task's target is that versions are there, so that doing it twice changes nothing.

PushVersions brings versions of the tree into a bucket, PullVersions from there into the tree of a host that serves,
where they appear whole or not at all. WithdrawVersions takes them out of the bucket again. What makes a version a
version in a bucket is told in `tasks.versions.bucket` and `tasks.versions.push`.
"""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import luigi

from tasks.errors import InvalidParameter, PipelineError, ReleaseRefused, VerificationFailed, VersionConflict
from tasks.recipes.checks import whole_number
from tasks.serving.config_file import find_model, labels, parse_config
from tasks.storage import checksums
from tasks.storage.files import read_regular
from tasks.storage.object_store import ALLOWED, ObjectStore, open_store
from tasks.versions import numbers
from tasks.versions.bucket import StoredVersion, fetch, find_stored, is_same
from tasks.versions.manifest import read_manifest
from tasks.versions.numbers import MOST_VERSIONS, format_versions
from tasks.versions.pull import is_pulled, pull_version
from tasks.versions.push import is_pushed, push_version, withdraw_version
from tasks.versions.signing import find_public_key
from tasks.versions.tree import QUARANTINED, find_versions
from tasks.wiring.base_tasks import BucketParameters
from tasks.wiring.parameters import (
    BasePathParameter,
    CheckedParameter,
    FlagParameter,
    FolderParameter,
    HostParameter,
    ListOfStringsParameter,
    PublicKeyParameter,
    VersionsParameter,
)
from tasks.wiring.progress import counted, megabytes, transfer
from tasks.wiring.wanted_state import WantedStateTask

logger = logging.getLogger(__name__)

CONFIG = "models.config"  # beside the versions in a bucket
MOST_CONFIG_BYTES = 1 << 20


class DistributionTask(WantedStateTask, BucketParameters):
    """Something that shall be so of a bucket, or of what lies in one."""

    shown: tuple[str, ...] = ("versions",)
    versions = VersionsParameter(default=(), description="such as 1,2,3 or 1-10; all by default")

    def run(self) -> None:
        met, self._met = self._met, None
        if met is not None:
            raise met  # a bucket that did not answer `complete()` need not be waited for again
        super().run()

    @property
    def store(self) -> ObjectStore:
        """The bucket; raises InvalidParameter."""
        if not self.bucket:
            raise InvalidParameter(f"bucket: none given; allowed are {ALLOWED}")
        return open_store(self.bucket, self.endpoint_url)


class PushVersions(DistributionTask):
    """Versions of the tree are in a bucket, whole and verified."""

    base_path = BasePathParameter(default="models/mnist", description="the folder with the versions")
    with_config = FlagParameter(description="the server's config file, too, for PullVersions --label")
    config_path = FolderParameter(default="models/models.config", description="the server's config file, with labels")

    def is_so(self) -> bool:
        return not self.find_missing() and (not self.with_config or self.has_config())

    def change(self) -> str:
        missing = {number: Path(self.base_path, str(number)) for number in self.find_missing()}
        manifests = [manifest for folder in missing.values() if (manifest := read_manifest(folder))]
        total = sum(int(entry["bytes"]) for manifest in manifests for entry in manifest.files.values())
        with transfer(self, "pushing", total) as moved:
            for_each(missing, lambda number: push_version(self.store, missing[number], number, moved))
        if missing:
            logger.info("Pushed %s to %s", format_versions(tuple(missing)), self.bucket)
        if self.with_config and not self.has_config():
            self.check_labels()
            config_path = Path(self.config_path)
            self.store.create(CONFIG, config_path, sha256=checksums.sha256(config_path), replace=True)
            logger.info("Pushed %s to %s", config_path, self.bucket)
        return f"{counted(len(missing), 'version')} pushed, {megabytes(total)}"

    def find_missing(self) -> list[int]:
        """The versions that are asked for and are not in the bucket as they are here."""
        stored, base_path = find_stored(self.store), Path(self.base_path)
        wanted = self.versions or find_versions(base_path)
        if not wanted:
            raise InvalidParameter(f"{base_path}: there is no version at all")
        return [
            number
            for number in wanted
            if number not in stored or not is_pushed(stored[number], base_path / str(number))
        ]

    def has_config(self) -> bool:
        """Whether the bucket has the config file as it is here."""
        config_path, entry = Path(self.config_path), self.store.head(CONFIG)
        if not config_path.is_file():
            raise InvalidParameter(f"config_path {config_path}: there is no such file")
        return entry is not None and is_same(self.store, entry, config_path, checksums.sha256(config_path))

    def check_labels(self) -> None:
        """Make sure that whoever follows a label of this model finds its version; raises InvalidParameter."""
        where, stored = self.config_path, find_stored(self.store)
        model = find_model(parse_config(read_regular(Path(where)), where), Path(self.base_path))
        if model is None:
            raise InvalidParameter(f"config_path {where}: has no model with the base path {self.base_path}")
        for label, number in labels(model).items():
            if number not in stored or not stored[number].is_whole:
                raise InvalidParameter(
                    f"config_path {where}: the label {label!r} points at version {number}, and {self.bucket} does not "
                    "have it; push it too"
                )


class FollowingTask(DistributionTask):
    """What looks at the labels in the config file that lies beside the versions in a bucket."""

    model_name = luigi.Parameter(default="", description="whose labels; default: the only model in the config file")

    def find_labels(self) -> dict[str, int]:
        """Label -> version, as pushed with `--with-config`; nothing without such a file. Raises InvalidParameter."""
        if self.store.head(CONFIG) is None:
            return {}
        where = f"{self.bucket}/{CONFIG}"
        config = parse_config(fetch(self.store, CONFIG, MOST_CONFIG_BYTES), where)
        models = {model.name: model for model in config.model_config_list.config}
        name = self.model_name or (next(iter(models)) if len(models) == 1 else "")
        if name not in models:
            raise InvalidParameter(f"model_name {name!r}: allowed are {', '.join(models) or 'none'}, as in {where}")
        return dict(labels(models[name]))


class PullVersions(FollowingTask):
    """Versions of a bucket are in a folder that a server watches: whole and verified, or not at all."""

    shown = ("versions", "host")
    base_path = BasePathParameter(default="models/mnist", description="the folder that TensorFlow Serving watches")
    newest = CheckedParameter(whole_number(0, MOST_VERSIONS), 0, "how many of the newest; 0: as the other options say")
    label = ListOfStringsParameter(default=(), description="the versions that these labels point at, such as stable")
    public_key = PublicKeyParameter("file with a public key: whatever is not signed by it is refused")
    host = HostParameter()

    def is_so(self) -> bool:
        return not self.find_missing()

    def change(self) -> str:
        missing, key = self.find_missing(), find_public_key(self.public_key)
        total = sum(entry.bytes for stored in missing.values() for entry in stored.entries.values())
        with transfer(self, "pulling", total) as moved:
            for_each(missing, lambda number: pull_version(missing[number], Path(self.base_path), moved, key))
        if missing:
            logger.info("Pulled %s from %s to %s", format_versions(tuple(missing)), self.bucket, self.base_path)
        return f"{counted(len(missing), 'version')} pulled, {megabytes(total)}"

    def find_missing(self) -> dict[int, StoredVersion]:
        """The versions that are asked for and are not here as they are in the bucket."""
        base_path, key = Path(self.base_path), find_public_key(self.public_key)
        return {stored.number: stored for stored in self.find_wanted() if not is_pulled(stored, base_path, key)}

    def find_wanted(self) -> list[StoredVersion]:
        """What the bucket has of the versions that are asked for; raises InvalidParameter if it lacks one."""
        if sum(map(bool, (self.versions, self.newest, self.label))) > 1:
            raise InvalidParameter("versions, newest, label: allowed is one of them at a time")
        stored = find_stored(self.store)
        whole = [number for number in stored if stored[number].is_whole]
        if self.versions or self.label:
            wanted = self.versions or self.find_labelled()
        else:  # what was taken back here does not come back by itself
            denied = [number for number in whole if Path(self.base_path, f"{number}{QUARANTINED}").exists()]
            wanted = tuple(number for number in whole if number not in denied)[-self.newest :]
        missing = [number for number in wanted if number not in whole]
        if missing or not whole:
            half = " (an upload was cut off, or is going on)" if missing and missing[0] in stored else ""
            raise InvalidParameter(f"{self.bucket}: there is no version {missing[0] if missing else 'at all'}{half}")
        return [stored[number] for number in wanted]

    def find_labelled(self) -> tuple[int, ...]:
        """The versions that the labels point at."""
        found = self.find_labels()
        unknown = [label for label in self.label if label not in found]
        if unknown:
            raise InvalidParameter(
                f"label {unknown[0]!r}: allowed are {', '.join(found) or 'none'}, as in {self.bucket}/{CONFIG}, which "
                "PushVersions --with-config brings there"
            )
        return tuple(sorted({found[label] for label in self.label}))


class WithdrawVersions(FollowingTask):
    """Versions are taken out of a bucket; what was pulled from there stays. Not while somebody pushes them."""

    versions = VersionsParameter(default=(), description="such as 1,2,3 or 1-10")

    def is_so(self) -> bool:
        if not self.versions:
            raise InvalidParameter(f"versions: none given; allowed are {numbers.ALLOWED}")
        return not find_stored(self.store).keys() & set(self.versions)

    def change(self) -> str:
        if self.is_so():
            return "nothing was to be taken out"
        pointing = {number: label for label, number in self.find_labels().items()}
        for number in self.versions:
            if number in pointing:
                raise ReleaseRefused(
                    f"{self.bucket}: the label {pointing[number]!r} points at version {number}; move it, and push the "
                    "config file with PushVersions --with-config"
                )
        for number in self.versions:
            withdraw_version(self.store, number)
        logger.info("Took %s out of %s", format_versions(self.versions), self.bucket)
        return f"{counted(len(self.versions), 'version')} taken out"


def for_each(numbers: Iterable[int], move: Callable[[int], None]) -> None:
    """Move every version; those that fail do not stop the others, and the first of them is raised at the end."""
    failed: dict[int, PipelineError] = {}
    for number in numbers:
        try:
            move(number)
        except (VerificationFailed, VersionConflict) as error:
            failed[number] = error
    if failed:
        first, *others = failed.values()
        more = f" (and {len(others)} more failed: {format_versions(sorted(failed)[1:])})" if others else ""
        raise type(first)(f"{first}{more}")
