"""Which versions of a model are aspired: `sources/storage_path/file_system_storage_path_source.cc`."""

import re
from pathlib import Path

INT64 = range(-(1 << 63), 1 << 63)


class PollFailed(Exception):
    """A base path that is not there: the whole poll fails, for every model (`PollFileSystemForConfig`)."""


def aspired_versions(model, warn):
    """Version -> folder for a ModelConfig (`PollFileSystemForServable`); `warn` takes what the server would log."""
    base_path, policy = Path(model.base_path), model.model_version_policy
    if not base_path.exists():
        raise PollFailed(f"Could not find base path {base_path} for servable {model.name}")
    choice = policy.WhichOneof("policy_choice")
    listed = list(policy.specific.versions)
    if choice == "specific":  # AspireSpecificVersionsFastPath
        if not listed:
            warn(f"No specific versions requested for servable {model.name}.")
        if all((base_path / str(version)).exists() for version in listed):
            return {version: base_path / str(version) for version in listed}
    children = sorted(path.name for path in base_path.iterdir())
    numbered = [(number, name) for name in children if (number := _parse(name)) is not None]
    if choice == "all":  # AspireAllVersions: of `01` and `1`, the second is refused as managed already
        versions = {number: base_path / name for number, name in reversed(numbered)}
    else:  # IndexChildrenByVersion: of `01` and `1`, the last is taken
        versions = {number: base_path / name for number, name in numbered}
    if choice == "specific":
        for version in set(listed) - set(versions):
            warn(
                f"Version {version} of servable {model.name}, which was requested to be served as a 'specific' version "
                "in the servable's version policy, was not found in the file system"
            )
        versions = {version: path for version, path in versions.items() if version in listed}
    elif choice != "all":  # AspireLatestVersions, the default
        newest = sorted(versions)[-max(policy.latest.num_versions, 1) :]
        versions = {version: versions[version] for version in newest}
    if not versions:
        warn(f"No versions of servable {model.name} found under base path {base_path}.")
    return versions


def _parse(name):
    """What absl::SimpleAtoi makes of a folder's name."""
    if re.fullmatch(r"\s*[+-]?[0-9]+\s*", name) and int(name) in INT64:
        return int(name)
    return None
