"""A place for objects, be it a bucket or a folder that stands for one, through five verbs.

`open_store(url)` finds which it is: `s3://bucket/prefix`, `gs://bucket/prefix`, or a folder. Each is one file beside
this one, and only that file imports the package that speaks to it. All keys are relative to the URL.

An object is there whole or not at all, `create` never replaces one unless it is told to, and a listing shows whatever
was created before it began: all three stores promise that.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tasks.errors import InvalidParameter

CONNECT_SECONDS, READ_SECONDS = 5.0, 15.0
ATTEMPTS = 4  # of one request, with back-off between them
BLOCK = 1 << 20  # bytes of an object that are in memory at once
MOST_BYTES = 5 << 30  # of one object: what one PUT takes
ALLOWED = "s3://bucket/prefix, gs://bucket/prefix, file:///folder or a folder"


@dataclass(frozen=True)
class Entry:
    """What a store says about an object; a checksum is None where it says none."""

    key: str
    bytes: int
    md5: str | None = None  # 32 hexadecimal digits; in listings, too
    sha256: str | None = None  # 64 hexadecimal digits, checked by the store when the object came; by `head` alone


class ObjectStore(Protocol):
    """Five verbs; each raises BucketFailed if the store does not answer, or refuses."""

    url: str

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Every object whose key begins with `prefix`; one request for a thousand."""

    def head(self, key: str) -> Entry | None:
        """One object, None if it is not there."""

    def get(self, key: str) -> Iterator[bytes]:
        """The content of an object in blocks; raises FileNotFoundError if it is not there."""

    def create(self, key: str, path: Path, *, sha256: str, replace: bool = False) -> bool:
        """Make an object of a file whose SHA-256 is known; False, and nothing done, if there is one of that key."""

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""


def parse_url(text: str) -> str:
    """The one way to write where a store is: without a slash at its end, a folder as an absolute path.

    Raises:
        InvalidParameter: another scheme, no bucket, or a part that is empty, `.` or `..`.
    """
    scheme, mark, rest = text.partition("://")
    if not mark or scheme == "file":
        folder = rest if mark else text
        if folder and "://" not in folder and (not mark or folder.startswith("/")):
            return absolute_folder("bucket", folder)
    elif scheme in {"s3", "gs"}:
        parts = rest.rstrip("/").split("/")
        if re.fullmatch(r"[a-z0-9][a-z0-9._-]+", parts[0]) and not {"", ".", ".."} & set(parts):
            return f"{scheme}://{'/'.join(parts)}"
    raise InvalidParameter(f"bucket {text!r}: allowed are {ALLOWED}")


def absolute_folder(name: str, text: str) -> str:
    """The one way to write where a folder is: absolute, without `~`, `..` or a slash at its end; links stay links.

    Raises:
        InvalidParameter: nobody has that home, or no file system, model server or JSON file takes such a name.
    """
    try:
        folder = os.path.abspath(Path(text).expanduser())  # noqa: PTH100 - resolve() follows links
        folder.encode()
        if "\0" in folder:
            raise ValueError
    except RuntimeError:
        raise InvalidParameter(f"{name} {text!r}: nobody here has that name, or no home") from None
    except ValueError:
        raise InvalidParameter(f"{name} {text!r}: allowed are paths in UTF-8, without a NUL") from None
    return folder


def open_store(url: str, endpoint_url: str = "") -> ObjectStore:
    """The store of a URL; nothing is asked of it yet.

    Args:
        url: where it is, see `parse_url`.
        endpoint_url: where `s3://` is spoken, if not at Amazon.

    Raises:
        InvalidParameter: see `parse_url`; or the package that speaks to it is not installed.
    """
    url = parse_url(url)
    scheme, _, rest = url.rpartition("://")
    bucket, _, prefix = rest.partition("/")
    try:
        if scheme == "s3":
            from tasks.storage.s3 import S3Store

            return S3Store(url, bucket, prefix and f"{prefix}/", endpoint_url or None)
        if scheme == "gs":
            from tasks.storage.gcs import GcsStore

            return GcsStore(url, bucket, prefix and f"{prefix}/")
    except ModuleNotFoundError as error:
        extra = {"s3": "s3", "gs": "gcs"}[scheme]
        raise InvalidParameter(f"bucket {url}: needs the extra {extra}: pip install -e '.[{extra}]'") from error
    from tasks.storage.folder import FolderStore

    return FolderStore(url)
