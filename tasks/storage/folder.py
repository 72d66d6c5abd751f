"""A folder that stands for a bucket: on a disk that several machines mount, or on this one."""

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from tasks.errors import BucketFailed
from tasks.storage import checksums, publishing
from tasks.storage.disk_errors import explain_os_errors
from tasks.storage.files import open_regular
from tasks.storage.object_store import BLOCK, Entry


class FolderStore:
    """See `tasks.storage.object_store.ObjectStore`; like a bucket, the folder has to be there.

    Only files are objects, and no link below the folder is followed: it could lead out of it. A listing takes away
    what killed processes left: files that were not finished, and, if it is one of all, empty folders with a number for
    a name, which a server takes for versions.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._root = Path(url)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        if not self._root.is_dir():  # a disk that is not mounted must not look like an empty one
            raise BucketFailed(f"{self.url}: there is no such folder; make it, or is a disk not mounted?")
        publishing.sweep(self._root)
        for folder, folders, files in os.walk(self._root / prefix.rpartition("/")[0]):
            if not prefix and not folders and not files:
                self._remove_if_empty(Path(folder))
            folders[:] = sorted(name for name in folders if not name.startswith(publishing.ASIDE_PREFIX))
            for name in sorted(files):
                key = Path(folder, name).relative_to(self._root).as_posix()
                try:
                    if key.startswith(prefix) and stat.S_ISREG((found := Path(folder, name).lstat()).st_mode):
                        yield Entry(key, found.st_size)
                except FileNotFoundError:
                    continue  # it went meanwhile

    def head(self, key: str) -> Entry | None:
        try:
            path = self._find(key)
            if not stat.S_ISREG(path.lstat().st_mode):
                return None  # a folder or a FIFO is no object
            return Entry(key, path.stat().st_size, sha256=checksums.sha256(path))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def get(self, key: str) -> Iterator[bytes]:
        path = self._find(key)
        if path.exists() and not path.is_file():
            raise FileNotFoundError(path)  # a folder or a FIFO is no object
        with open_regular(path, follow=False) as stream:
            while block := stream.read(BLOCK):
                yield block

    def create(self, key: str, path: Path, *, sha256: str, replace: bool = False) -> bool:
        target = self._find(key)
        with explain_os_errors(target), publishing.scratch_directory(self._root / target.name) as aside:
            copy = aside / target.name
            shutil.copyfile(path, copy)
            if checksums.sha256(copy) != sha256:
                raise BucketFailed(f"{self.url}/{key}: {path} was changed while it was copied")
            publishing.flush(copy)
            while True:
                publishing.make_directory(target.parent)
                try:
                    # a link is the one way to give a file its name that fails if there is another of that name
                    copy.replace(target) if replace else os.link(copy, target)
                    break
                except FileExistsError:
                    return False
                except FileNotFoundError:
                    if not copy.exists():
                        raise  # else somebody has taken away the folder, in which there was nothing
            publishing.flush(target.parent)
        return True

    def delete(self, key: str) -> None:
        target = self._find(key)
        with explain_os_errors(target):
            target.unlink(missing_ok=True)
        self._remove_if_empty(target.parent)

    def _remove_if_empty(self, folder: Path) -> None:
        """Remove a folder of a version, and those above it, if there is nothing in them."""
        with contextlib.suppress(OSError):
            while folder.relative_to(self._root).as_posix().partition("/")[0].isdecimal():
                folder.rmdir()
                folder = folder.parent

    def _find(self, key: str) -> Path:
        """Where an object lies, or would; raises BucketFailed where a link would lead."""
        path = self._root
        for part in key.split("/"):
            path /= part
            if path.is_symlink():
                raise BucketFailed(f"{self.url}/{key}: {path} is a link, which is not followed; remove it")
        return path
