"""A folder that stands for a bucket: on a disk that several machines mount, or on this one."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tasks.errors import BucketFailed
from tasks.storage import checksums, publishing
from tasks.storage.files import open_regular
from tasks.storage.object_store import BLOCK, Entry


class FolderStore:
    """See `tasks.storage.object_store.ObjectStore`; like a bucket, the folder has to be there."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._root = Path(url)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        if not self._root.is_dir():  # a disk that is not mounted must not look like an empty one
            raise BucketFailed(f"{self.url}: there is no such folder; make it, or is a disk not mounted?")
        for folder, folders, files in os.walk(self._root / prefix.rpartition("/")[0]):
            folders[:] = sorted(name for name in folders if not name.startswith(publishing.ASIDE_PREFIX))
            for name in sorted(files):
                key = Path(folder, name).relative_to(self._root).as_posix()
                try:
                    if key.startswith(prefix):
                        yield Entry(key, Path(folder, name).stat().st_size)
                except FileNotFoundError:
                    continue  # it went meanwhile

    def head(self, key: str) -> Entry | None:
        try:
            return Entry(key, (self._root / key).stat().st_size, sha256=checksums.sha256(self._root / key))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def get(self, key: str) -> Iterator[bytes]:
        with open_regular(self._root / key) as stream:
            while block := stream.read(BLOCK):
                yield block

    def create(self, key: str, path: Path, *, sha256: str, replace: bool = False) -> bool:
        target = self._root / key
        with publishing.scratch_directory(target) as aside:
            copy = aside / target.name
            shutil.copyfile(path, copy)
            if checksums.sha256(copy) != sha256:
                raise BucketFailed(f"{self.url}/{key}: {path} was changed while it was copied")
            publishing.flush(copy)
            try:
                # a link is the one way to give a file its name that fails if there is another of that name
                copy.replace(target) if replace else os.link(copy, target)
            except FileExistsError:
                return False
            publishing.flush(target.parent)
        return True

    def delete(self, key: str) -> None:
        target = self._root / key
        target.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a server takes an empty folder with a number for a version
            for folder in [parent for parent in target.parents if self._root in parent.parents]:
                folder.rmdir()
