"""Push versions to a bucket, and take them out again.

A bucket knows no rename of a folder, so the order of the objects does its work. **The manifest is created first**, by a
request that fails if there is one: of several pushers one wins, and the number belongs to its bytes from then on,
because a manifest holds the SHA-256 of every other file. Whoever has the same manifest goes on, whoever has another one
stops before anything else is written. So whatever lies below a number has the bytes that its manifest speaks of,
whoever wrote it and however many were killed. **`saved_model.pb` is created last**, when a listing shows all others:
where it is, all are. (Files first and the manifest after them would let two pushers mix their files below one number.)

Its signature comes after it, and may take the place of another one: it is no part of the version.

To take a version out, the same backwards: the signature, `saved_model.pb`, the others, the manifest.
"""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from tasks.errors import VerificationFailed, VersionConflict
from tasks.storage import checksums
from tasks.storage.object_store import ObjectStore
from tasks.versions.bucket import (
    SAVED_MODEL,
    Moved,
    StoredVersion,
    each,
    find_harm,
    is_same,
    look_up,
    recorded_sha256,
    tell_other,
)
from tasks.versions.manifest import CLAIM, Manifest, read_manifest
from tasks.versions.signing import read_signature, signature_path
from tasks.versions.tree import ERROR, SIGNATURE, compare_files


def is_pushed(stored: StoredVersion, directory: Path) -> bool:
    """Whether a bucket has the version that lies in `directory`, and its signature if it has one.

    Nothing is read from a bucket whose listing has checksums.
    """
    manifest = read_manifest(directory)
    return (
        manifest is not None
        and stored.is_whole
        and stored.find_damage(manifest) is None
        and stored.has(directory, manifest, CLAIM)
        and _has_signature(stored, directory)
    )


def push_version(store: ObjectStore, directory: Path, number: int, moved: Moved = lambda _: None) -> None:
    """Make sure that a bucket has a version, whole, and its signature; what is there already is not sent again.

    Raises:
        VerificationFailed: the version here is not what its manifest says, or the bucket holds other bytes.
        VersionConflict: the bucket has another version of that number.
        BucketFailed: see `ObjectStore`.
    """
    manifest = check_local(directory, number)
    sizes = {name: int(entry["bytes"]) for name, entry in manifest.files.items() if name != SAVED_MODEL}

    def create(name: str) -> bool:
        return store.create(f"{number}/{name}", directory / name, sha256=recorded_sha256(directory, manifest, name))

    def check(names: Iterable[str]) -> None:
        changed = [name for name in names if not stored.has(directory, manifest, name)]
        if changed:
            raise VerificationFailed(f"{stored.url}: {changed[0]} has other bytes than its manifest says, or is gone")

    is_ours = create(CLAIM)
    stored = look_up(store, number)
    if not is_ours and not stored.has(directory, manifest, CLAIM):  # or a request that was retried met itself
        raise VersionConflict(_tell_conflict(stored, manifest))
    each(create, sizes.keys() - stored.entries.keys(), lambda name: moved(sizes[name]))
    moved(sum(sizes[name] for name in sizes.keys() & stored.entries.keys()))
    stored = look_up(store, number)
    foreign = sorted(stored.entries.keys() - manifest.files.keys() - {CLAIM})
    if foreign:
        raise VerificationFailed(f"{stored.url}: {foreign[0]} is none of the files in its manifest")
    if problem := stored.find_damage(manifest, without=SAVED_MODEL):
        raise VerificationFailed(f"{stored.url}: {problem}")
    check(sizes)
    if not create(SAVED_MODEL):
        stored = look_up(store, number)
        check([SAVED_MODEL])
    moved(int(manifest.files[SAVED_MODEL]["bytes"]))
    if read_signature(directory) is not None:
        path = signature_path(directory)
        store.create(f"{number}{SIGNATURE}", path, sha256=checksums.sha256(path), replace=True)


def withdraw_version(store: ObjectStore, number: int) -> int:
    """Take a version out of a bucket, so that no reader takes the rest for one; gives the number of objects."""
    store.delete(f"{number}{SIGNATURE}")
    names = set(look_up(store, number).entries)
    for name in [*sorted(names & {SAVED_MODEL}), *sorted(names - {SAVED_MODEL, CLAIM}), *sorted(names & {CLAIM})]:
        store.delete(f"{number}/{name}")
    return len(names)


def check_local(directory: Path, number: int) -> Manifest:
    """The manifest of a version here, all of whose files are as it says; raises VerificationFailed."""
    manifest = read_manifest(directory)
    if manifest is None:
        if not directory.is_dir():
            raise VerificationFailed(f"{directory}: there is no such version")
        raise VerificationFailed(
            f"{directory}: has no {CLAIM} that can be read; only versions that this pipeline has made can be pushed"
        )
    problem = find_harm(number, manifest)
    links = [name for name in (*manifest.files, CLAIM) if not problem and _has_link(directory, name)]
    if problem or links:
        raise VerificationFailed(
            f"{directory}: {problem or f'{links[0]} is a link; its bytes belong to another place'}"
        )
    faults = compare_files(directory.name, manifest.files, checksums.list_files(directory))
    for fault in faults:
        if fault.severity == ERROR:
            raise VerificationFailed(f"{directory}: {fault.message}")
    return manifest


def _tell_conflict(stored: StoredVersion, manifest: Manifest) -> str:
    """What is in the way of a version that is pushed, with the ways out."""
    there = stored.read()[0]
    state = "is there" if stored.is_whole else "is being pushed, or a push was cut off,"
    return (
        f"{stored.url} {state}{tell_other(there, manifest)}; nothing was overwritten. A version in a bucket never "
        "changes: give yours another number, push it to another place, or take that one out with WithdrawVersions"
    )


def _has_signature(stored: StoredVersion, directory: Path) -> bool:
    """Whether a bucket has the signature that is here, if there is one."""
    if read_signature(directory) is None:
        return True
    path, entry = signature_path(directory), stored.signature
    return entry is not None and is_same(stored.store, entry, path, checksums.sha256(path))


def _has_link(directory: Path, name: str) -> bool:
    """Whether a file, or a folder between it and its version, is a symbolic link."""
    return any(
        (directory / part).is_symlink() for part in (name, *map(str, PurePosixPath(name).parents)) if part != "."
    )
