"""What can be said about a version tree from its names alone, by the rules by which the server reads them.

The rules are those of `file_system_storage_path_source.cc` of TensorFlow Serving: whatever parses as an int64 is a
version, be it a folder or a file, and everything else does not exist.
"""

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tasks.errors import InvalidParameter
from tasks.storage import publishing
from tasks.versions.manifest import MANIFEST, Files, Manifest

ERROR, WARNING, NOTE = "error", "warning", "note"
LEFTOVER = re.compile(r".*-luigi-tmp-\d+|.*\.(tmp|temp|part|partial)|\.aside-.*|tmp.*|temp-.*")
QUARANTINED = ".denied"
SIGNATURE = ".sig"  # see `tasks.versions.signing`


@dataclass(frozen=True)
class Fault:
    """One thing found: at which entry of the base path ('' is the base path itself), how bad, and what."""

    name: str
    severity: str
    message: str


@dataclass(frozen=True)
class Verified:
    """A version as it was found: its manifest (None without a readable one), and what is wrong with it.

    `loads` is None where it was not tried.
    """

    name: str
    manifest: Manifest | None
    faults: tuple[Fault, ...]
    loads: bool | None


def compare_files(name: str, files: Files, here: Files, source: str = "its manifest") -> list[Fault]:
    """What is wrong with the files of a version that are `here`, by what `source` says of them."""
    found = []
    for path in sorted({*here, *files} - {MANIFEST.as_posix()}):
        recorded, actual = files.get(path), here.get(path)
        if actual is not None and "link" in actual:
            found.append((ERROR, f"{path} is a link; its bytes belong to another place"))
        elif actual is None:
            found.append((ERROR, f"{path} is missing"))
        elif recorded is None:
            found.append((WARNING, f"{path} was added: {source} does not have it"))
        elif recorded["bytes"] != actual["bytes"]:
            found.append((ERROR, f"{path} has {actual['bytes']} bytes, {source} says {recorded['bytes']}"))
        elif recorded["sha256"] != actual["sha256"]:
            was, now = (str(entry["sha256"])[:12] for entry in (recorded, actual))
            found.append((ERROR, f"{path} was changed: SHA-256 {now}..., {source} says {was}..."))
    return [Fault(name, severity, message) for severity, message in found]


def version_number(name: str) -> int | None:
    """The version that the server takes an entry of that name for (`absl::SimpleAtoi`), None for other names."""
    if not re.fullmatch(r"[ \t\r\n\v\f]*[+-]?[0-9]+[ \t\r\n\v\f]*", name):
        return None
    number = int(name)
    return number if -(2**63) <= number < 2**63 else None


def served_names(base_path: Path) -> dict[int, str]:
    """Version -> entry from which the server loads it, by version; of several entries for one it takes the last.

    (Under the policy `all` the first: `AspireAllVersions` hands on each entry, and the manager drops a second one.)
    """
    names = sorted(entry.name for entry in base_path.iterdir()) if base_path.is_dir() else []
    numbered = [(number, name) for name in names if (number := version_number(name)) is not None]
    return dict(sorted(numbered))


def find_versions(base_path: Path) -> list[int]:
    """The versions that can be promoted or removed, oldest first: folders named as the server writes the number."""
    served = served_names(base_path).items()
    return [number for number, name in served if name == str(number) and (base_path / name).is_dir()]


def lint_names(base_path: Path) -> list[Fault]:
    """Everything that is wrong with the entries of a base path; nothing is opened or changed."""
    if not base_path.is_dir():
        what = "is a file" if base_path.exists() else "is not there"
        return [Fault("", ERROR, f"{base_path} {what}; the server's poll fails then, for all its models")]
    served = served_names(base_path)
    faults = [fault for entry in sorted(base_path.iterdir()) for fault in _lint_entry(entry, served)]
    if not served:
        faults.append(Fault("", ERROR, f"{base_path} holds no version; the server unloads what it serves"))
    return faults


@lru_cache(maxsize=8)
def check_apart(base_path: str, work_dir: str) -> None:
    """Make sure that no archive or training lies where a server looks for versions; raises InvalidParameter."""
    tree, work = (Path(os.path.realpath(folder)) for folder in (base_path, work_dir))
    if tree == work or tree in work.parents:
        raise InvalidParameter(
            f"work_dir {work_dir}: must not lie in the base path {base_path}, which holds versions only"
        )
    if tree.is_relative_to(work / "training"):  # whose folders have numbers for names, too
        raise InvalidParameter(f"work_dir {work_dir}: its trainings must not lie in the base path {base_path}")


def _lint_entry(entry: Path, served: dict[int, str]) -> list[Fault]:
    name, number = entry.name, version_number(entry.name)
    if number is None and _signs_something(entry):
        return []
    if number is None:
        return [Fault(name, *_lint_other(entry))]
    found = []
    if served[number] != name:
        twin = served[number]
        first = min(other.name for other in entry.parent.iterdir() if version_number(other.name) == number)
        loaded = f"the server loads {twin!r}, with the policy all {{}} {first!r}"
        found.append((ERROR, f"is version {number}, as {twin!r} is; {loaded}"))
    elif name != str(number):
        found.append((WARNING, f"is version {number} to the server; name it {number}"))
    if number < 1:
        unasked = ", which REST clients cannot ask for" if number < 0 else ""
        found.append((WARNING, f"is a version to the server{unasked}; the tasks here take numbers above 0 alone"))
    if entry.is_symlink() and not entry.exists():
        found.append((ERROR, "points at nothing; the server takes it for a version and fails to load it"))
    elif not entry.is_dir():
        found.append((ERROR, "is a file; the server takes it for a version and fails to load it"))
    return [Fault(name, severity, message) for severity, message in found]


def _signs_something(entry: Path) -> bool:
    """Whether it is the signature of a version that is there, be it quarantined."""
    signed = entry.with_suffix("")
    return entry.suffix == SIGNATURE and any(
        os.path.lexists(path) for path in (signed, signed.with_name(f"{signed.name}{QUARANTINED}"))
    )


def _lint_other(entry: Path) -> tuple[str, str]:
    """Severity and message for an entry that the server does not see."""
    if entry.suffix == SIGNATURE and version_number(entry.stem) is not None:
        return WARNING, f"is a signature, and there is no version {entry.stem}; no reader needs it"
    if entry.name.endswith(QUARANTINED):
        return NOTE, "is quarantined; the server does not see it"
    if not LEFTOVER.fullmatch(entry.name):
        return NOTE, "is no version; the server does not see it"
    if publishing.is_being_written(entry):
        return NOTE, "is being written by a live process"
    return WARNING, "is left over from a run that was killed; no reader needs it"
