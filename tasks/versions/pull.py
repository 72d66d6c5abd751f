"""Pull versions from a bucket into a tree, by the rules of the tree: whole and verified, or not at all."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from tasks.errors import VerificationFailed, VersionConflict
from tasks.storage import publishing
from tasks.storage.object_store import Entry, ObjectStore
from tasks.versions import signing
from tasks.versions.bucket import SAVED_MODEL, Moved, StoredVersion, each, look_up, sha256_of, tell_other
from tasks.versions.manifest import CLAIM, MANIFEST, Manifest, find_damage, read_manifest, read_text
from tasks.versions.tree import ERROR, NOTE, WARNING, Fault, Verified, compare_files
from tasks.versions.wanted_version import WantedVersion, find_namesake


def is_pulled(stored: StoredVersion, base_path: Path, public_key: Path | None = None) -> bool:
    """Whether the version of a bucket lies in `base_path`, whole, with a signature.

    That may be any, and only if the bucket has one; with a key, it has to be good. Nothing is read from a bucket whose
    listing has checksums.
    """
    directory = base_path / str(stored.number)
    if public_key is not None:
        is_signed = signing.find_flaw(directory, public_key) is None
    else:
        is_signed = stored.signature is None or signing.read_signature(directory) is not None
    return is_signed and _is_here(stored, directory)


def pull_version(
    stored: StoredVersion, base_path: Path, moved: Moved = lambda _: None, public_key: Path | None = None
) -> None:
    """Make sure that a version of a bucket lies in `base_path`, by the rules of the tree: whole or not at all.

    Its signature comes after it.

    Raises:
        VerificationFailed: what the bucket holds is not what its manifest says, or, with a key, is not signed by that;
            nothing is there then.
        VersionConflict: another version of that number is there, or it was taken back.
        BucketFailed, StorageFailed: see `ObjectStore` and `publishing`.
    """
    target = base_path / str(stored.number)
    if is_pulled(stored, base_path, public_key):
        return
    signature = stored.read_signature()

    def check(_: Manifest | None, text: bytes) -> None:
        if public_key is not None and (flaw := signing.find_flaw_of(target.name, text, signature, public_key)):
            raise VerificationFailed(f"{stored.url}: {flaw}")

    if _is_here(stored, target):
        check(None, read_text(target))
    else:
        _publish(stored, target, check, moved)
    if signature is not None:
        publishing.publish_file(signing.signature_path(target), signature)


def fetch_version(
    stored: StoredVersion,
    directory: Path,
    check: Callable[[Manifest, bytes], None] = lambda *_: None,
    moved: Moved = lambda _: None,
) -> Manifest:
    """Fill an empty folder with a version of a bucket; raises VerificationFailed, or what `check` raises.

    `check` is given the manifest and its bytes, before anything else is fetched.
    """
    manifest, text = stored.read()
    check(manifest, text)
    problem = None if stored.is_whole else "is no whole version"
    if problem := problem or stored.find_damage(manifest):
        raise VerificationFailed(f"{stored.url}: {problem}")
    for name in [*manifest.files, CLAIM]:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
    (directory / MANIFEST).write_bytes(text)
    each(
        partial(_download, stored, manifest, directory),
        manifest.files,
        lambda name: moved(int(manifest.files[name]["bytes"])),
    )
    return manifest


def fetch_wanted(store: ObjectStore, wanted: WantedVersion, directory: Path) -> Manifest | None:
    """Fill an empty folder with a version as it is asked for, if the bucket has one of that number; None if not.

    Raises:
        VersionConflict: the one in the bucket has another recipe, or does not pass the gate.
        VerificationFailed: see `fetch_version`.
    """
    stored = look_up(store, wanted.version)

    def check(manifest: Manifest, _: bytes) -> None:
        if mismatch := wanted.mismatch_of(manifest):
            raise VersionConflict(
                f"{stored.url} is there{mismatch}. A version in a bucket never changes: give the new recipe another "
                "version number, ask for the recipe that is there, or take that one out with WithdrawVersions"
            )

    if CLAIM in stored.entries and not stored.is_whole:
        check(*stored.read())  # nothing is trained for a number that belongs to another recipe
    return fetch_version(stored, directory, check) if stored.is_whole else None


def find_obstacle(stored: StoredVersion, base_path: Path) -> str | None:
    """What is in the way of a version that is not pulled yet, with the ways out; None if nothing is."""
    target = base_path / str(stored.number)
    if not os.path.lexists(target):
        return find_namesake(target)
    here = read_manifest(target)
    if here is None:
        found = f", but has no {CLAIM} that can be read"
    else:
        damage = find_damage(target, here)
        found = tell_other(here, stored.read()[0]) or f", but damaged: {damage}"
    return (
        f"{target} is there{found}; nothing was overwritten. A published version never changes: pull to another "
        f"--base-path, or remove {target} if no server uses it"
    )


def verify_stored(stored: StoredVersion, public_key: Path | None = None) -> Verified:
    """Compare what a bucket holds of a version with its manifest, by sizes and SHA-256; it is not loaded.

    With a key, its signature is held against that, too.
    """
    name = str(stored.number)
    if not stored.is_whole:
        return Verified(name, None, tuple(_explain_half(name, stored.entries)), loads=False)
    try:
        manifest, text = stored.read()
        if public_key is not None:
            flaw = signing.find_flaw_of(name, text, stored.read_signature(), public_key)
            if flaw:
                raise VerificationFailed(flaw)
    except VerificationFailed as error:
        return Verified(name, None, (Fault(name, ERROR, str(error).removeprefix(f"{stored.url}: ")),), loads=False)
    here: dict[str, dict[str, int | str]] = {path: {"bytes": entry.bytes} for path, entry in stored.entries.items()}
    for path, entry in here.items():
        if path in manifest.files and entry["bytes"] == manifest.files[path]["bytes"]:
            entry["sha256"] = sha256_of(stored.store, f"{name}/{path}") or "none"
    return Verified(name, manifest, tuple(compare_files(name, manifest.files, here)), loads=False)


def _is_here(stored: StoredVersion, directory: Path) -> bool:
    manifest = read_manifest(directory)
    return manifest is not None and find_damage(directory, manifest) is None and stored.has(directory, manifest, CLAIM)


def _publish(stored: StoredVersion, target: Path, check: Callable[[Manifest, bytes], None], moved: Moved) -> None:
    if obstacle := find_obstacle(stored, target.parent):
        raise VersionConflict(obstacle)
    try:
        with publishing.publish_directory(target) as aside:
            fetch_version(stored, aside, check, moved)
    except FileExistsError:
        if not _is_here(stored, target):
            raise VersionConflict(str(find_obstacle(stored, target.parent))) from None


def _explain_half(name: str, entries: Mapping[str, Entry]) -> Iterator[Fault]:
    if SAVED_MODEL in entries:
        yield Fault(name, NOTE, "was made elsewhere: there are no checksums to compare with")
    else:
        yield Fault(name, WARNING, "is no version yet: an upload was cut off, or is going on; push it again")


def _download(stored: StoredVersion, manifest: Manifest, directory: Path, name: str) -> None:
    """Write one file, as long as it is what the manifest says."""
    expected, digest, size = manifest.files[name], hashlib.sha256(), 0
    try:
        with (directory / name).open("xb") as stream:
            for block in stored.store.get(f"{stored.number}/{name}"):
                size += len(block)
                if size > int(expected["bytes"]):
                    break
                digest.update(block)
                stream.write(block)
    except FileNotFoundError as error:
        raise VerificationFailed(f"{stored.url}/{name}: was taken out meanwhile") from error
    if size != expected["bytes"] or digest.hexdigest() != expected["sha256"]:
        raise VerificationFailed(
            f"{stored.url}/{name}: {size} bytes with SHA-256 {digest.hexdigest()[:12]}..., its manifest says "
            f"{expected['bytes']} with {str(expected['sha256'])[:12]}...; nothing was pulled. Take the version "
            "out with WithdrawVersions and push it again"
        )
