"""What versions a bucket holds, and whether what came from there may be trusted.

    <url>/<number>/assets.extra/manifest.json   created first: from then on the number belongs to the bytes it speaks of
    <url>/<number>/variables/..., ...           whoever has the same manifest may create these
    <url>/<number>/saved_model.pb               created last, when a listing shows all the others: it is a version
    <url>/<number>.sig                          its signature, if it has one; after it, and free to be replaced

So a listing alone tells which versions are there. `tasks.versions.push` says why this order and no other.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import BucketFailed, VerificationFailed
from tasks.storage import checksums
from tasks.storage.files import open_regular
from tasks.storage.object_store import MOST_BYTES, Entry, ObjectStore
from tasks.versions.manifest import (
    CLAIM,
    MOST_MANIFEST_BYTES,
    Manifest,
    differences,
    find_harmful_names,
    parse_manifest,
    tell_differences,
)
from tasks.versions.numbers import LARGEST_VERSION
from tasks.versions.signing import LENGTH
from tasks.versions.tree import SIGNATURE

SAVED_MODEL = "saved_model.pb"
AT_ONCE = 8  # files of one version
MOST_OBJECTS = 1_000_000  # that are listed, in some 400 MB of memory: ten times ten files of ten thousand versions
Moved = Callable[[int], None]  # told the bytes of each file that is where it belongs


@dataclass(frozen=True)
class StoredVersion:
    """A number of which a bucket holds something: the objects below it, by their name in the version."""

    store: ObjectStore
    number: int
    entries: Mapping[str, Entry]
    signature: Entry | None = None  # beside it; known of what `find_stored` found

    @property
    def url(self) -> str:
        return f"{self.store.url}/{self.number}"

    @property
    def is_whole(self) -> bool:
        """Whether it is a version; if not, an upload was cut off or is going on."""
        return {CLAIM, SAVED_MODEL} <= set(self.entries)

    def read(self) -> tuple[Manifest, bytes]:
        """Its manifest, and the very bytes; raises VerificationFailed if it is none that may be followed."""
        text = fetch(self.store, f"{self.number}/{CLAIM}", MOST_MANIFEST_BYTES)
        manifest = parse_manifest(text)
        if manifest is None:
            raise VerificationFailed(f"{self.url}: {CLAIM} cannot be read, or has another schema")
        problem = find_harm(self.number, manifest)
        if problem:
            raise VerificationFailed(f"{self.url}: {problem}")
        return manifest, text

    def read_signature(self) -> bytes | None:
        """The signature beside it, if `find_stored` has found one; raises VerificationFailed for what is too long."""
        return fetch(self.store, self.signature.key, LENGTH) if self.signature else None

    def find_damage(self, manifest: Manifest, without: str = "") -> str | None:
        """The first file (but for `without`) that is missing or of another size; None if none is."""
        for name, recorded in manifest.files.items():
            entry = self.entries.get(name)
            if name == without:
                continue
            if entry is None:
                return f"{name} is missing"
            if entry.bytes != recorded["bytes"]:
                return f"{name} has {entry.bytes} bytes, its manifest says {recorded['bytes']}"
        return None

    def has(self, directory: Path, manifest: Manifest, name: str) -> bool:
        """Whether the bucket has a file of a version as it lies in `directory`."""
        entry = self.entries.get(name)
        return entry is not None and is_same(
            self.store, entry, directory / name, recorded_sha256(directory, manifest, name)
        )


def find_stored(store: ObjectStore) -> dict[int, StoredVersion]:
    """Every number of which a bucket holds something, in order."""
    found: dict[int, dict[str, Entry]] = {}
    signatures: dict[int, Entry] = {}
    for entry in _list(store):
        folder, _, name = entry.key.partition("/")
        number = folder.removesuffix(SIGNATURE)
        if not re.fullmatch(r"[1-9][0-9]{0,18}", number) or int(number) > LARGEST_VERSION:
            continue
        if entry.key == f"{number}{SIGNATURE}":
            signatures[int(number)] = entry
        elif name and folder == number:
            found.setdefault(int(number), {})[name] = entry
    return {
        number: StoredVersion(store, number, entries, signatures.get(number))
        for number, entries in sorted(found.items())
    }


def look_up(store: ObjectStore, number: int) -> StoredVersion:
    """One number, of which there may be nothing."""
    prefix = f"{number}/"
    entries = {entry.key.removeprefix(prefix): entry for entry in _list(store, prefix)}
    entries.pop("", None)  # the mark that some browsers of buckets leave for a folder
    return StoredVersion(store, number, entries)


def fetch(store: ObjectStore, key: str, most: int) -> bytes:
    """A small object; raises VerificationFailed if it is longer than `most` bytes, or gone."""
    content = b""
    try:
        for block in store.get(key):
            content += block
            if len(content) > most:
                raise VerificationFailed(f"{store.url}/{key}: has more than {most:,} bytes")
    except FileNotFoundError as error:
        raise VerificationFailed(f"{store.url}/{key}: is not there, or was taken out meanwhile") from error
    return content


def find_harm(number: int, manifest: Manifest) -> str | None:
    """Why a manifest that came from elsewhere must not be followed: it may name any path and any size."""
    return next(_harms(number, manifest), None)


def is_same(store: ObjectStore, entry: Entry, path: Path, sha256: str) -> bool:
    """Whether an object has the bytes of a file, told by the cheapest checksum that the store has."""
    if entry.bytes != path.stat().st_size:
        return False
    if entry.md5 is not None and entry.md5 == _md5(path):  # another one may be no MD5 of the content at all
        return True
    return sha256_of(store, entry.key) == sha256


def sha256_of(store: ObjectStore, key: str) -> str | None:
    """The SHA-256 of an object: as the store has checked it when it came, or of what is read; None if it is gone."""
    if (found := store.head(key)) is None:
        return None
    if found.sha256 is not None:
        return found.sha256
    digest = hashlib.sha256()
    try:
        for block in store.get(key):
            digest.update(block)
    except FileNotFoundError:
        return None
    return digest.hexdigest()


def tell_other(here: Manifest, asked: Manifest) -> str:
    """In what two versions of one number differ; nothing if they are the same."""
    if found := differences(here.recipe, asked.recipe):
        return f" with another recipe: {tell_differences(found)}"
    if found := differences(here.made_with, asked.made_with):
        return f" with the same recipe, made by other software: {tell_differences(found)}"
    names = differences(here.files, asked.files) or ({CLAIM} if here != asked else ())
    return f" with the same recipe, but other bytes in {', '.join(sorted(names))}" if names else ""


def recorded_sha256(directory: Path, manifest: Manifest, name: str) -> str:
    """The SHA-256 of a file of a version, as its manifest has it; of the manifest as it is."""
    return checksums.sha256(directory / name) if name == CLAIM else str(manifest.files[name]["sha256"])


def each(function: Callable[[str], object], names: Iterable[str], done: Callable[[str], None]) -> None:
    """Call a function for several names at once, and `done` in this thread; ends with the first that fails."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = {pool.submit(function, name): name for name in sorted(names)}
        try:
            for future in as_completed(futures):
                future.result()
                done(futures[future])
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _list(store: ObjectStore, prefix: str = "") -> Iterator[Entry]:
    """The listing of a place that may belong to anyone; raises BucketFailed for one that has no end."""
    for count, entry in enumerate(store.list(prefix)):
        if count == MOST_OBJECTS:
            raise BucketFailed(f"{store.url}: holds more than {MOST_OBJECTS:,} objects; is it the right place?")
        yield entry


def _harms(number: int, manifest: Manifest) -> Iterator[str]:
    if manifest.model_version != number:
        yield f"its manifest is that of version {manifest.model_version}"
    if SAVED_MODEL not in manifest.files:
        yield f"its manifest lists no {SAVED_MODEL}"
    yield from find_harmful_names(manifest.files)
    for name, entry in manifest.files.items():
        if int(entry["bytes"]) > MOST_BYTES:
            yield f"its manifest gives {name} {entry['bytes']} bytes; allowed are 0 to {MOST_BYTES:,}"
        elif not re.fullmatch(r"[0-9a-f]{64}", str(entry["sha256"])):
            yield f"its manifest gives {name} no SHA-256"


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with open_regular(path) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
