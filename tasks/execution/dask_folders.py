"""Folders among the arguments of a call to a Dask worker: names stand for them there, and they travel as bytes."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.storage import checksums
from tasks.storage.files import read_regular

FILLED = "filled"  # stands for the folder to fill
LARGE = 8 << 20  # bytes; a smaller folder travels with each call

Files = Mapping[str, bytes]  # path with '/' -> content


class Packer(pickle.Pickler):
    """Pickles a call with names in the place of its folders, which are then in `folders`."""

    def __init__(self, filled: Path) -> None:
        self.stream = io.BytesIO()
        super().__init__(self.stream)
        self.filled = filled
        self.folders: dict[str, Path] = {}

    def pack(self, call: tuple[Any, ...]) -> bytes:
        self.dump(call)
        return self.stream.getvalue()

    def persistent_id(self, obj: Any) -> str | None:
        if not isinstance(obj, Path):
            return None
        if obj == self.filled:
            return FILLED
        if obj in self.filled.parents or not obj.is_dir():  # the base path, of which a version knows
            return None
        name = content_name(obj)
        self.folders[name] = obj
        return name


class Unpacker(pickle.Unpickler):
    """Reads a call, with these folders in the place of their names."""

    def __init__(self, stream: io.BytesIO, folders: Mapping[str, Path]) -> None:
        super().__init__(stream)
        self.folders = folders

    def persistent_load(self, pid: str) -> Path:
        return self.folders[pid]


def content_name(folder: Path) -> str:
    """A name for what a folder holds: the digest of the seal that it has or would have."""
    seal = folder / checksums.CHECKSUMS
    return hashlib.sha256(read_regular(seal) if seal.exists() else checksums.format_seal(folder)).hexdigest()


def read_files(folder: Path) -> Files:
    """Every file below a folder; a link is none, for its bytes belong to another place."""
    paths = [path for path in folder.rglob("*") if not path.is_symlink() and path.is_file()]
    return {path.relative_to(folder).as_posix(): read_regular(path, follow=False) for path in paths}


def write_files(files: Files, folder: Path) -> Path:
    """The folder, with these files in it."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def content_if_small(folder: Path) -> Files | None:
    """Every file of a folder that is not large, by which it travels with the call; else None."""
    size = sum(path.lstat().st_size for path in folder.rglob("*"))
    return read_files(folder) if size < LARGE else None
