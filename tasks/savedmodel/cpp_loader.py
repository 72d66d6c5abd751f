"""Load a SavedModel as the server does: by TensorFlow's C++ loader, reached through its C API.

`TF_LoadSessionFromSavedModel` runs the code that `tensorflow_model_server` runs (`tensorflow::LoadSavedModel`);
the loader of the Python package is another one.
"""

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import error_codes_pb2, saved_model_pb2

from tasks.errors import ExportFailed
from tasks.savedmodel.signatures import TAGS
from tasks.storage.files import find_irregular, read_regular

INDEX = Path("variables", "variables.index")
VARIABLE_OPS = {"VarHandleOp", "VariableV2", "Variable"}


def check_loads(directory: Path, tags: Sequence[str] = TAGS) -> None:
    """Make sure that the server can load a SavedModel and answer requests with it; raises ExportFailed.

    That includes variables.index, which the loader overlooks.
    """
    check_regular(directory)
    said = load_by_c(directory, tags)
    if said:
        if "meta graph def matching" in said:
            read_meta_graph(directory, tags)  # fails too, and names the tags that are there
        raise ExportFailed(f"{directory}: TensorFlow's C++ loader says {said}")
    if not (directory / INDEX).is_file() and _needs_variables(directory):
        raise ExportFailed(
            f"{directory}: {INDEX.as_posix()} is missing; the server would load it, and every request would fail"
        )


def check_regular(directory: Path) -> None:
    """Make sure that TensorFlow, which opens what it finds, finds no FIFO to wait for; raises ExportFailed."""
    if found := find_irregular(directory):
        raise ExportFailed(f"{found}: not a regular file; TensorFlow would wait for it for ever. Remove it")


def load_by_c(directory: Path, tags: Sequence[str]) -> str | None:
    """Load and let go; returns the code and the first line of the loader's message where it refuses."""
    library = c_library()
    status, options, graph = library.TF_NewStatus(), library.TF_NewSessionOptions(), library.TF_NewGraph()
    try:
        names = (ctypes.c_char_p * len(tags))(*(tag.encode() for tag in tags))
        session = library.TF_LoadSessionFromSavedModel(
            options, None, bytes(directory), names, len(tags), graph, None, status
        )
        code = library.TF_GetCode(status)
        if code:
            message = library.TF_Message(status).decode(errors="replace")
            return f"{error_codes_pb2.Code.Name(code)}: {message.splitlines()[0] if message else ''}"
        library.TF_CloseSession(session, status)
        library.TF_DeleteSession(session, status)
        return None
    finally:
        library.TF_DeleteGraph(graph)
        library.TF_DeleteSessionOptions(options)
        library.TF_DeleteStatus(status)


def read_meta_graph(directory: Path, tags: Sequence[str] = TAGS) -> Any:
    """The MetaGraphDef that is served, read without loading it; raises ExportFailed."""
    path = directory / "saved_model.pb"
    try:
        saved_model = saved_model_pb2.SavedModel.FromString(read_regular(path))
    except OSError as error:
        raise ExportFailed(f"{path}: {error.strerror}") from error
    except DecodeError as error:
        raise ExportFailed(f"{path}: no SavedModel ({error})") from error
    found = {tuple(sorted(meta_graph.meta_info_def.tags)): meta_graph for meta_graph in saved_model.meta_graphs}
    if tuple(sorted(tags)) not in found:
        there = "; ".join(",".join(names) or "none" for names in found)
        raise ExportFailed(
            f"{path}: no graph with the tags {','.join(tags)}, which the server asks for; there are: {there}"
        )
    return found[tuple(sorted(tags))]


def _needs_variables(directory: Path) -> bool:
    """Whether the graph has variables, whose values lie in files of their own."""
    graph = read_meta_graph(directory).graph_def
    nodes = chain(graph.node, *(function.node_def for function in graph.library.function))
    return any(node.op in VARIABLE_OPS for node in nodes)


class _Pointer(ctypes.c_void_p):
    """A pointer that ctypes hands on whole; a plain c_void_p comes back as an int, which it cuts to 32 bits."""


@lru_cache(maxsize=1)
def c_library() -> Any:
    """The library of the imported package that holds the C API."""
    package = Path(tf.__file__).parent
    for path in [*sorted(package.glob("libtensorflow_cc.so*")), package / "python/_pywrap_tensorflow_internal.so"]:
        library = ctypes.CDLL(str(path)) if path.exists() else None  # loaded already: this finds it
        if library is not None and hasattr(library, "TF_LoadSessionFromSavedModel"):
            break
    else:
        raise ExportFailed(f"{package}: no library with TF_LoadSessionFromSavedModel in this TensorFlow")
    for name in ("TF_NewStatus", "TF_NewSessionOptions", "TF_NewGraph", "TF_LoadSessionFromSavedModel"):
        getattr(library, name).restype = _Pointer
    library.TF_Message.restype = ctypes.c_char_p
    return library
