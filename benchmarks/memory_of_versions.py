"""`python -m benchmarks.memory_of_versions DIR`: what each version in DIR takes in the memory of a server.

While a server swaps a version for another it holds both. Here a fresh process for each version opens it twice through
TensorFlow's C++ loader, as `tasks.savedmodel.cpp_loader` does, but keeps it open, and lets each copy answer once, as
the server's warm-up does. Then it closes the first copy, and goes on to open the next before it closes the last, as a
server does. What grows is the proportional set size of the process. The first copy has to pay for what TensorFlow sets
up once in a process; the second shows what a version takes. This is not tensorflow_model_server, which is another
program around the same loader.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.measuring import proportional_set_size

FLOAT = 1  # TF_FLOAT of TensorFlow's tf_datatype.h
SWAPS = 10
STEPS = ("nothing", "one", "two", "closed", "swapped")
HEADER = (
    "version",
    "on disk",
    "TensorFlow alone",
    "the first copy",
    "the second",
    "the first closed",
    f"{SWAPS} more swaps",
)


class Output(ctypes.Structure):
    """`TF_Output`: an operation of a graph, and which of its results."""

    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class OpenVersion:
    """A version as the server keeps it, until it is closed."""

    def __init__(self, directory: Path) -> None:
        from tasks.savedmodel.cpp_loader import c_library, read_meta_graph
        from tasks.savedmodel.signatures import TAGS

        self.library = c_library()
        for name in ("TF_AllocateTensor", "TF_TensorData", "TF_GraphOperationByName"):
            getattr(self.library, name).restype = ctypes.c_void_p
        self.status, self.graph = self.library.TF_NewStatus(), self.library.TF_NewGraph()
        options = self.library.TF_NewSessionOptions()
        tags = (ctypes.c_char_p * len(TAGS))(*(tag.encode() for tag in TAGS))
        self.session = self.library.TF_LoadSessionFromSavedModel(
            options, None, bytes(directory), tags, len(TAGS), self.graph, None, self.status
        )
        self.library.TF_DeleteSessionOptions(options)
        self._check()
        self.signature = read_meta_graph(directory).signature_def["predict_images"]

    def answer(self, images: int) -> None:
        """Let it score some black images."""
        shape = (ctypes.c_int64 * 2)(images, 784)
        size = ctypes.c_size_t(images * 784 * 4)
        tensor = ctypes.c_void_p(self.library.TF_AllocateTensor(FLOAT, shape, 2, size))
        ctypes.memset(self.library.TF_TensorData(tensor), 0, size.value)
        given, asked = self._output(self.signature.inputs["images"]), self._output(self.signature.outputs["scores"])
        scores = ctypes.c_void_p()
        ends: tuple[Any, ...] = (None, 0, None, self.status)
        self.library.TF_SessionRun(
            self.session, None, given, ctypes.byref(tensor), 1, asked, ctypes.byref(scores), 1, *ends
        )
        self._check()
        self.library.TF_DeleteTensor(tensor)
        self.library.TF_DeleteTensor(scores)

    def close(self) -> None:
        """Let go of all of it, as the server does with a version that nothing asks for."""
        self.library.TF_CloseSession(self.session, self.status)
        self.library.TF_DeleteSession(self.session, self.status)
        self.library.TF_DeleteGraph(self.graph)
        self.library.TF_DeleteStatus(self.status)

    def _output(self, tensor_info: Any) -> Any:
        operation, _, index = tensor_info.name.partition(":")
        return ctypes.byref(
            Output(self.library.TF_GraphOperationByName(self.graph, operation.encode()), int(index or 0))
        )

    def _check(self) -> None:
        if self.library.TF_GetCode(self.status):
            raise RuntimeError(self.library.TF_Message(self.status).decode())


def measure(directory: Path) -> dict[str, float]:
    """Bytes of this process after each of STEPS."""
    from tasks.model.tensorflow_setup import prepare_tensorflow

    prepare_tensorflow(1)
    sizes = [proportional_set_size(os.getpid())]
    versions = []
    for _ in range(2):
        versions.append(OpenVersion(directory))
        versions[-1].answer(10)
        sizes.append(proportional_set_size(os.getpid()))
    first, last = versions
    first.close()
    sizes.append(proportional_set_size(os.getpid()))
    for _ in range(SWAPS):
        following = OpenVersion(directory)
        following.answer(10)
        last.close()
        last = following
    sizes.append(proportional_set_size(os.getpid()))
    return dict(zip(STEPS, sizes, strict=True))


def measure_apart(directory: Path, repeats: int) -> dict[str, float]:
    """The median of what some fresh processes measure."""
    command = [sys.executable, "-m", "benchmarks.memory_of_versions", "--measure", str(directory)]
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "TF_CPP_MIN_LOG_LEVEL": "3"}
    outputs = [subprocess.check_output(command, env=here, text=True) for _ in range(repeats)]
    measured = [json.loads(output.splitlines()[-1]) for output in outputs]
    return {step: statistics.median(sizes[step] for sizes in measured) for step in STEPS}


def table(base_path: Path, repeats: int) -> str:
    """A row for each version: what is on disk, and what each step adds to the one before it."""
    rows = [HEADER, ("---",) * len(HEADER)]
    for directory in sorted((path for path in base_path.iterdir() if path.name.isdecimal()), key=lambda p: int(p.name)):
        on_disk = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
        sizes = measure_apart(directory, repeats)
        added = [sizes[later] - sizes[earlier] for earlier, later in itertools.pairwise(STEPS)]
        cells = [
            f"{on_disk / 1e6:.2f} MB",
            f"{sizes['nothing'] / 1e6:.0f} MB",
            *(f"{size / 1e6:+.1f} MB" for size in added),
        ]
        rows.append((directory.name, *cells))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Print the table; with --measure, what this process measures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory_of_versions", description=__doc__)
    parser.add_argument("base_path", type=Path, metavar="DIR", help="folder of versions")
    parser.add_argument("--repeats", type=int, default=5, help="processes a version (5)")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    print(json.dumps(measure(options.base_path)) if options.measure else table(options.base_path, options.repeats))


if __name__ == "__main__":
    main()
