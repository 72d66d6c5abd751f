"""Tasks that only look at a version tree.

VerifyVersions looks at it as a server and an auditor would. RebuildVersions makes versions again, by the ordinary tasks
in a place of its own, and compares every byte. Neither has an output: every run looks anew.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tasks.data.dataset import DATASETS
from tasks.errors import InvalidParameter, VerificationFailed
from tasks.execution import calls
from tasks.execution.computations import verify_tree, verify_version
from tasks.execution.lineage import digest
from tasks.pipeline import ExportVersion, PrepareDataset
from tasks.recipes.recipe import KEYS
from tasks.serving.foreign import read_records
from tasks.storage import checksums, publishing
from tasks.storage.disk_errors import explain_os_errors
from tasks.storage.object_store import open_store, parse_url
from tasks.versions.bucket import find_stored
from tasks.versions.manifest import Manifest, made_with, read_manifest
from tasks.versions.pull import pull_version, verify_stored
from tasks.versions.signing import find_public_key
from tasks.versions.tree import ERROR, WARNING, Fault, Verified, check_apart, served_names
from tasks.wiring.base_tasks import BucketParameters
from tasks.wiring.failures import ReportedTask
from tasks.wiring.parameters import (
    BasePathParameter,
    DistributionParameter,
    FlagParameter,
    FolderParameter,
    PublicKeyParameter,
    VersionsParameter,
)
from tasks.wiring.progress import Reporter, counted
from tasks.wiring.recipe_lookup import complete_values
from tasks.wiring.summary import columns
from tasks.wiring.terminal import say_last

SHAPING = {name for name, key in KEYS.items() if key.shapes}


class InspectionTask(ReportedTask):
    """A look at the versions of a base path."""

    shown = ("versions",)
    base_path = BasePathParameter(default="models/mnist", description="the folder that TensorFlow Serving watches")
    versions = VersionsParameter(default=(), description="such as 1,2,3 or 1-10; all by default")

    done = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if work_dir := getattr(self, "work_dir", ""):
            check_apart(self.base_path, work_dir)

    def complete(self) -> bool:
        return self.done

    def conclude(self, lines: Iterable[str], faults: Iterable[Fault]) -> None:
        """Say last a table and the faults; raises VerificationFailed if there is an error among them."""
        faults = list(faults)
        told = [f"{fault.severity:<7} {fault.name or 'base path'}: {fault.message}" for fault in faults]
        say_last("\n".join([*lines, *told]))
        errors = [fault for fault in faults if fault.severity == ERROR]
        if errors:
            first = ": ".join(part for part in (errors[0].name, errors[0].message) if part)
            where = getattr(self, "bucket", "") or self.base_path
            raise VerificationFailed(f"{where}: {counted(len(errors), 'error')}; the first: {first}")
        self.done = True


class VerifyVersions(InspectionTask, BucketParameters):
    """Whether a server can serve what lies in a base path, and whether it still is what was exported.

    With --bucket, whether the versions in a bucket are what their manifests say: by sizes and checksums, and with
    --deep they are fetched and loaded, too. Prints a table; fails if it finds an error.
    """

    config_path = FolderParameter(
        default="models/models.config", description="the server's config file; foreign.json beside it has checksums"
    )
    bucket = DistributionParameter("look into this bucket instead of the base path", parse_url, default="")
    deep = FlagParameter(description="with --bucket: fetch the versions and load them")
    public_key = PublicKeyParameter("file with a public key: whatever is not signed by it is an error")

    def run(self) -> None:
        threads = int(complete_values({"threads": None})["threads"] or 0)
        report = Reporter(self, "verifying")
        key = find_public_key(self.public_key)
        if self.bucket:
            faults, versions = self.look_into_bucket(threads, report, key)
        else:
            base_path = Path(self.base_path)
            promoted = read_records(Path(self.config_path).resolve(), base_path)
            with explain_os_errors(base_path):
                faults, versions = calls.run(
                    verify_tree,
                    base_path,
                    self.versions,
                    threads=threads,
                    promoted=promoted,
                    public_key=key,
                    report=report,
                )
        faults = [*faults, *(fault for version in versions for fault in version.faults)]
        self.conclude(table(versions, faults), faults)
        warnings = sum(fault.severity == WARNING for fault in faults)
        report.finish(f"{counted(len(versions), 'version')} verified, {counted(warnings, 'warning')}")

    def look_into_bucket(self, threads: int, report: Reporter, key: Path | None) -> tuple[list[Fault], list[Verified]]:
        """What is missing, and each version as it was found."""
        stored, verified = find_stored(open_store(self.bucket, self.endpoint_url)), []
        missing = [Fault(str(number), ERROR, "is not there") for number in self.versions if number not in stored]
        if not stored:
            missing.append(Fault("", ERROR, f"{self.bucket} holds no version"))
        wanted = [stored[number] for number in self.versions or stored if number in stored]
        for index, version in enumerate(wanted):
            report(index / len(wanted), f"{index} of {len(wanted)} versions verified")
            found = verify_stored(version, key)
            if self.deep and version.is_whole and not found.faults:
                with tempfile.TemporaryDirectory() as folder:
                    pull_version(version, Path(folder), public_key=key)
                    found = calls.run(verify_version, Path(folder, found.name), public_key=key, threads=threads)
            verified.append(found)
        return missing, verified


class RebuildVersions(InspectionTask):
    """Whether versions can be made again: trained and exported by the ordinary tasks, and compared byte for byte.

    They are made from the recipes in their manifests, in a folder of their own in the work directory; the archives and
    arrays there are used, the checkpoints are not. Prints a line for each version; fails if one differs.
    """

    work_dir = FolderParameter(default="work", description="folder with archives and arrays, and room for the versions")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.token = secrets.token_hex(4)  # `run` is entered again after each `yield`, and must find its own folder

    def run(self) -> Iterator[Any]:
        scratch = Path(self.work_dir, f"rebuilt-{digest(self.base_path)}-{self.token}")
        for older in scratch.parent.glob(f"rebuilt-{digest(self.base_path)}-*"):
            if older != scratch:  # left by a run that failed or was killed: nothing in it may be taken for made again
                shutil.rmtree(older, ignore_errors=True)
        exports = {folder: self.make_again(folder, manifest, scratch) for folder, manifest in self.found.items()}
        tasks = {folder: made for folder, made in exports.items() if isinstance(made, ExportVersion)}
        report = Reporter(self, f"making {counted(len(tasks), 'version')} again")
        yield [
            PrepareDataset(dataset=name, work_dir=self.work_dir) for name in {task.dataset for task in tasks.values()}
        ]
        for shared in ("archives", "datasets"):
            publishing.make_directory(scratch)
            if not (scratch / shared).is_symlink():
                (scratch / shared).symlink_to(Path(self.work_dir, shared), target_is_directory=True)
        yield list(tasks.values())
        faults = [made for made in exports.values() if isinstance(made, Fault)]
        faults += [fault for folder, task in tasks.items() if (fault := self.compare(folder, task.output().path))]
        shutil.rmtree(scratch)
        differing = {fault.name for fault in faults}
        rows = [(folder.name, "differs" if folder.name in differing else "equal") for folder in exports]
        self.conclude(columns([("version", "made again"), *rows]), faults)
        report.finish(f"{counted(len(exports), 'version')} made again, each byte the same")

    @cached_property
    def found(self) -> dict[Path, Manifest]:
        """The versions that have a manifest."""
        folders = find_folders(Path(self.base_path), self.versions)
        return {folder: manifest for folder in folders if (manifest := read_manifest(folder)) is not None}

    def make_again(self, folder: Path, manifest: Manifest, scratch: Path) -> ExportVersion | Fault:
        """The task that makes a version again; a fault if nothing can."""
        try:
            return task_that_made(
                manifest,
                base_path=scratch / "models",
                work_dir=scratch,
                config_path=scratch / "models.config",
                bucket="",
                host="",
            )
        except InvalidParameter as error:
            return Fault(folder.name, ERROR, f"cannot be made again: {error}")

    def compare(self, folder: Path, again: Path) -> Fault | None:
        """What differs in the version that was made again."""
        here, made = checksums.list_files(folder), checksums.list_files(again)
        differing = [name for name in sorted({*here, *made}) if here.get(name) != made.get(name)]
        if not differing:
            return None
        before, now = self.found[folder].made_with, made_with()
        changed = [f"{name} {before.get(name)}, here {version}" for name, version in now.items()]
        why = f" (made with {'; '.join(changed)})" if dict(before) != now else ""
        return Fault(folder.name, ERROR, f"made again, it differs in {', '.join(differing)}{why}")


def find_folders(base_path: Path, versions: Sequence[int]) -> list[Path]:
    """The entries from which a server loads these versions, or all, oldest first; raises InvalidParameter."""
    served = served_names(base_path)
    missing = [version for version in versions if version not in served]
    if missing or not served:
        raise InvalidParameter(f"{base_path}: there is no version {', '.join(map(str, missing)) or 'at all'}")
    return [base_path / name for number, name in served.items() if not versions or number in versions]


def task_that_made(manifest: Manifest, **places: Path | str) -> ExportVersion:
    """The task that makes a version from the recipe in its manifest; raises InvalidParameter if nothing can."""
    dataset = DATASETS.find(str(manifest.recipe.get("dataset")))
    if dict(manifest.dataset_checksums) != dataset.checksums:
        raise InvalidParameter(f"it was made from another {dataset.name}, the archives differ")
    if set(manifest.recipe) != SHAPING or None in manifest.recipe.values():
        raise InvalidParameter("its manifest holds no recipe of this release")
    return ExportVersion(**manifest.recipe, version=manifest.model_version, min_accuracy=0.0, **places)


def table(versions: Iterable[Verified], faults: Iterable[Fault]) -> list[str]:
    """One line for each version, with its state."""
    counts = Counter((fault.name, fault.severity) for fault in faults)
    rows: list[tuple[str, ...]] = [("version", "state", "model", "validation", "test")]
    for version in versions:
        state = next((severity for severity in ("error", "warning") if counts[version.name, severity]), "good")
        model, accuracies = "?", ["?", "?"]
        if version.manifest:
            model = str(version.manifest.recipe.get("model", "?"))
            metrics = [version.manifest.metrics.get(split, {}) for split in ("validation", "test")]
            accuracies = [f"{entry['accuracy']:.4f}" if "accuracy" in entry else "?" for entry in metrics]
        rows.append((version.name, state, model, *accuracies))
    return columns(rows)
