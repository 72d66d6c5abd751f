"""Whether bytes are still what they were: SHA-256 of files and folders."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from tasks.storage.files import open_regular, read_regular
from tasks.storage.json_text import parse_json

CHECKSUMS = "checksums.json"


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as 64 lower-case hexadecimal digits."""
    digest = hashlib.sha256()
    with open_regular(path) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def list_files(directory: Path) -> dict[str, dict[str, int | str]]:
    """Every file below `directory`: its path with '/' -> {'bytes': size, 'sha256': digest}, sorted by path.

    A link is not followed, as its bytes belong to another place: it is {'link': where it points to}.
    """
    found: dict[str, dict[str, int | str]] = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_symlink():
            found[name] = {"link": str(path.readlink())}
        elif path.is_file():
            found[name] = {"bytes": path.stat().st_size, "sha256": sha256(path)}
    return found


def find_links(directory: Path) -> list[str]:
    """The paths below `directory`, with '/', that are links."""
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_symlink())


def seal(directory: Path) -> None:
    """Add `checksums.json`, which lets `is_intact` tell whether anything changed since."""
    (directory / CHECKSUMS).write_bytes(format_seal(directory))


def format_seal(directory: Path) -> bytes:
    """What `seal` writes into a folder: the checksums of all that is in it but the seal itself."""
    files = {name: entry for name, entry in list_files(directory).items() if name != CHECKSUMS}
    return (json.dumps(files, indent=1) + "\n").encode()


def is_intact(directory: Path, *, remember: bool = False) -> bool:
    """Whether a sealed folder still holds what was sealed.

    With `remember`, the contents are read once a process, for as long as no file gets another size or time.
    """
    try:
        files, sealed = [], parse_json(read_regular(directory / CHECKSUMS))
        for name, entry in sealed.items():
            stat = (directory / name).stat()
            if stat.st_size != entry["bytes"]:
                return False
            files.append((str(directory / name), str(entry["sha256"]), stat.st_mtime_ns, stat.st_ino))
        return bool(sealed) and (_have_contents if remember else _have_contents.__wrapped__)(tuple(files))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


@lru_cache(maxsize=16)
def _have_contents(files: tuple[tuple[str, str, int, int], ...]) -> bool:
    """Whether each file (path, SHA-256, time, inode) has the checksum; an answer holds for its time and inode."""
    return all(sha256(Path(path)) == digest for path, digest, _, _ in files)
