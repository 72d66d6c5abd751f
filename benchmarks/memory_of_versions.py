"""`python -m benchmarks.memory_of_versions DIRECTORY...`: what SavedModels take in a process that keeps them loaded.

A model server keeps the old version until the new one is loaded. This does the same with TensorFlow's C++ loader, in
fresh processes, and prints by how much each step made them grow: the first version (with what TensorFlow sets up once
in a process), a second one beside it, ten more, and what was left when all but one were let go. Sizes are proportional
set sizes, from /proc/self/smaps_rollup, and medians over the processes.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np

IMAGES = 10
FLOAT = 1  # TF_FLOAT
MORE = 10
STEPS = ("the first", "a second beside it", "each of ten more", "left of all 12 when 11 were let go")


class Output(ctypes.Structure):
    """TF_Output: one output of an operation."""

    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class Loaded:
    """A SavedModel that is loaded and has answered one request of ten images, as a server's warm-up sees to."""

    def __init__(self, library: ctypes.CDLL, directory: Path) -> None:
        from tasks.savedmodel.cpp_loader import read_meta_graph

        self._library, self._status = library, library.TF_NewStatus()
        self._options, self._graph = library.TF_NewSessionOptions(), library.TF_NewGraph()
        tags = (ctypes.c_char_p * 1)(b"serve")
        self._session = library.TF_LoadSessionFromSavedModel(
            self._options, None, bytes(directory), tags, 1, self._graph, None, self._status
        )
        self._check()
        signature = read_meta_graph(directory).signature_def["predict_images"]
        self._ask(signature.inputs["images"].name, signature.outputs["scores"].name)

    def close(self) -> None:
        """Let it go, as an unload does."""
        self._library.TF_CloseSession(self._session, self._status)
        self._library.TF_DeleteSession(self._session, self._status)
        self._library.TF_DeleteGraph(self._graph)
        self._library.TF_DeleteSessionOptions(self._options)
        self._library.TF_DeleteStatus(self._status)

    def _ask(self, images: str, scores: str) -> None:
        shape = (ctypes.c_int64 * 2)(IMAGES, 784)
        pixels = self._library.TF_AllocateTensor(FLOAT, shape, 2, IMAGES * 784 * 4)
        ctypes.memset(self._library.TF_TensorData(pixels), 0, IMAGES * 784 * 4)
        feeds, fetches = (Output * 1)(self._output(images)), (Output * 1)(self._output(scores))
        fed, fetched = (ctypes.c_void_p * 1)(pixels), (ctypes.c_void_p * 1)()
        self._library.TF_SessionRun(
            *[self._session, None, feeds, fed, 1, fetches, fetched, 1, None, 0, None, self._status]
        )
        self._check()
        answer = self._library.TF_TensorData(fetched[0])
        sums = np.ctypeslib.as_array(ctypes.cast(answer, ctypes.POINTER(ctypes.c_float)), (IMAGES, 10)).sum(axis=1)
        if not np.allclose(sums, 1, atol=1e-4):
            raise RuntimeError(f"its scores sum to {sums}, not to 1")
        self._library.TF_DeleteTensor(pixels)
        self._library.TF_DeleteTensor(fetched[0])

    def _output(self, name: str) -> Output:
        operation, _, index = name.partition(":")
        return Output(self._library.TF_GraphOperationByName(self._graph, operation.encode()), int(index))

    def _check(self) -> None:
        if self._library.TF_GetCode(self._status):
            raise RuntimeError(self._library.TF_Message(self._status).decode(errors="replace"))


def measure(directory: Path) -> list[float]:
    """By how many bytes this process, a fresh one, grows: one item for each of `STEPS`."""
    library = _c_library()
    empty = _proportional_set_size()
    loaded = [Loaded(library, directory)]
    one = _proportional_set_size()
    loaded.append(Loaded(library, directory))
    two = _proportional_set_size()
    loaded += [Loaded(library, directory) for _ in range(MORE)]
    many = _proportional_set_size()
    for version in loaded[:-1]:
        version.close()
    left = _proportional_set_size()
    loaded[-1].close()
    return [one - empty, two - one, (many - two) / MORE, left - empty]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory_of_versions", description=__doc__)
    parser.add_argument("directories", type=Path, nargs="+", metavar="DIRECTORY", help="models/mnist/1, say")
    parser.add_argument("--repeats", type=int, default=5, help="fresh processes for each (5)")
    parser.add_argument("--here", action="store_true", help="measure one in this process, print JSON")
    options = parser.parse_args()
    if options.here:
        print(json.dumps(measure(options.directories[0])))
        return 0
    print("| version | its weights on disk |", " | ".join(STEPS), "|")
    print("| --- " * (2 + len(STEPS)) + "|")
    for directory in options.directories:
        runs = [_in_a_fresh_process(directory) for _ in range(options.repeats)]
        grown = [statistics.median(sizes) for sizes in zip(*runs, strict=True)]
        stored = sum(path.stat().st_size for path in (directory / "variables").iterdir())
        print(f"| {directory.name} |", " | ".join(f"{size / 1e6:.2f} MB" for size in (stored, *grown)), "|", flush=True)
    return 0


def _in_a_fresh_process(directory: Path) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.memory_of_versions", "--here", str(directory)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    sizes: list[float] = json.loads(done.stdout.splitlines()[-1])
    return sizes


def _c_library() -> ctypes.CDLL:
    """TensorFlow's C API, with what is called here and not in cpp_loader declared."""
    from tasks.savedmodel.cpp_loader import c_library

    library = c_library()
    pointer, number = ctypes.c_void_p, ctypes.c_int
    outputs, tensors = ctypes.POINTER(Output), ctypes.POINTER(ctypes.c_void_p)
    run = [pointer, pointer, outputs, tensors, number, outputs, tensors, number, pointer, number, pointer, pointer]
    for name, result, arguments in (
        ("TF_GraphOperationByName", pointer, [pointer, ctypes.c_char_p]),
        ("TF_SessionRun", None, run),
        ("TF_AllocateTensor", pointer, [number, ctypes.POINTER(ctypes.c_int64), number, ctypes.c_size_t]),
        ("TF_TensorData", pointer, [pointer]),
        ("TF_DeleteTensor", None, [pointer]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _proportional_set_size() -> int:
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("/proc/self/smaps_rollup has no line Pss")


if __name__ == "__main__":
    raise SystemExit(main())
