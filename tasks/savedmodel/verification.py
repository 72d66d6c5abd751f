"""Whether a server can serve what lies in a version tree, and whether it is still what was exported.

Works on trees made by others too: what only a manifest can tell is then left out.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tasks.errors import ExportFailed
from tasks.savedmodel.cpp_loader import check_loads
from tasks.savedmodel.golden import replay_golden
from tasks.savedmodel.loaded_model import load_saved_model
from tasks.savedmodel.replay import PREDICT
from tasks.savedmodel.signatures import describe_signatures
from tasks.savedmodel.warmup import replay_warmup
from tasks.storage import checksums
from tasks.versions import signing
from tasks.versions.golden import ANSWERS
from tasks.versions.manifest import MANIFEST, Files, Manifest, find_harmful_names, read_manifest
from tasks.versions.tree import (
    ERROR,
    NOTE,
    WARNING,
    Fault,
    Verified,
    compare_files,
    lint_names,
    served_names,
    version_number,
)

# what `util/json_tensor.cc` writes and reads
JSON_TYPES = {"float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "bool", "string"}


def verify_tree(
    base_path: Path,
    versions: Collection[int] = (),
    report: Callable[[float, str], None] = lambda *_: None,
    *,
    promoted: Mapping[int, Files] = MappingProxyType({}),
    public_key: Path | None = None,
) -> tuple[list[Fault], list[Verified]]:
    """Verify a base path: what is wrong with its entries, and each version (or those of `versions`) in order.

    `promoted` has the files of versions that were made elsewhere, as they were when they were promoted. With a key,
    each has to be signed by that.
    """
    served, faults, verified = served_names(base_path), lint_names(base_path), []
    wanted = {number: name for number, name in served.items() if not versions or number in versions}
    faults += [Fault(str(number), ERROR, "is not there") for number in versions if number not in wanted]
    folders = [base_path / name for name in wanted.values() if (base_path / name).is_dir()]
    for index, folder in enumerate(folders):
        report(index / len(folders), f"{index} of {len(folders)} versions verified")
        verified.append(verify_version(folder, promoted.get(version_number(folder.name) or 0), public_key))
    newest = served[max(served)] if served else ""
    loads = [version.loads for version in verified if version.name == newest]
    if newest in wanted.values() and loads not in ([True], [None]):
        faults.append(
            Fault(
                newest,
                ERROR,
                "the newest version does not load: a server that loads the newest alone fails at its next start",
            )
        )
    return faults, verified


def verify_version(directory: Path, promoted: Files | None = None, public_key: Path | None = None) -> Verified:
    """Verify files, both loaders, warm-up, golden answers and signatures; whatever is wrong becomes a fault.

    The files are held against its manifest, those of a version without one against `promoted`. A model is a program:
    one with links to other places is not loaded, nor, with a key, one whose every byte is not signed.
    """
    manifest = read_manifest(directory)
    found = _Faults(directory.name)
    if public_key is not None and (flaw := signing.find_flaw(directory, public_key)):
        found.add(ERROR, f"{flaw}; it was not loaded")
        return Verified(directory.name, manifest, tuple(found.faults), loads=None)
    _check_origin(found, directory, manifest, promoted)
    links = checksums.find_links(directory)
    for name in links:
        found.add(ERROR, f"{name} is a link; its bytes belong to another place")
    if links or (public_key is not None and found.faults):  # a file that was added may be one that is loaded
        found.add(ERROR, f"was not loaded: {'it has links' if links else 'not all of it is signed'}")
        return Verified(directory.name, manifest, tuple(found.faults), loads=None)
    loads = False
    with found.as_error(directory):
        check_loads(directory)
        with load_saved_model(directory, required=()) as model:
            loads = True
            _check_signatures(found, describe_signatures(model.signatures))
            with found.as_error(directory):
                for left_out in replay_warmup(model):
                    found.add(NOTE, left_out)
            with found.as_error(directory):
                replay_golden(model)
    return Verified(directory.name, manifest, tuple(found.faults), loads)


class _Faults:
    def __init__(self, name: str) -> None:
        self.name = name
        self.faults: list[Fault] = []

    def add(self, severity: str, message: str) -> None:
        """Add a fault; it takes the place of one that only says its beginning (a file is missing: what that means)."""
        self.faults = [
            fault for fault in self.faults if fault.message != message and not message.startswith(f"{fault.message}; ")
        ]
        self.faults.append(Fault(self.name, severity, message))

    @contextlib.contextmanager
    def as_error(self, directory: Path) -> Iterator[None]:
        """Turn what the block raises into a fault, named relative to the version."""
        try:
            yield
        except ExportFailed as error:
            self.add(ERROR, str(error).replace(f"{directory}/", "").removeprefix(f"{directory}: "))
        except Exception as error:  # noqa: BLE001 - on a damaged graph TensorFlow's Python raises whatever it stumbles over
            first = (str(error).splitlines() or [""])[0]
            self.add(ERROR, f"cannot be checked further: {type(error).__name__}: {first}")


def _check_origin(found: _Faults, directory: Path, manifest: Manifest | None, promoted: Files | None) -> None:
    """Compare a version with what is said of it, by whomever."""
    if manifest is not None:
        with found.as_error(directory):
            if manifest.model_version != version_number(directory.name):
                found.add(ERROR, f"its manifest is that of version {manifest.model_version}")
            for harm in find_harmful_names(manifest.files)[:1]:
                found.add(ERROR, harm)
            _check_files(found, directory, manifest.files, "its manifest")
    elif (directory / MANIFEST).exists():
        found.add(ERROR, f"{MANIFEST.as_posix()} cannot be read, or has another schema")
    elif (directory / ANSWERS).exists():
        found.add(ERROR, f"{MANIFEST.as_posix()} is missing, and golden answers are there")
    elif promoted is not None:
        found.add(NOTE, "was made elsewhere, and promoted: foreign.json has its checksums")
        with found.as_error(directory):
            _check_files(found, directory, promoted, "foreign.json")
    else:
        found.add(NOTE, "was made elsewhere: there are no checksums to compare with")


def _check_files(found: _Faults, directory: Path, files: Files, source: str) -> None:
    """Compare the files with what is said of them."""
    for fault in compare_files(directory.name, files, checksums.list_files(directory), source):
        found.add(fault.severity, fault.message)


def _check_signatures(found: _Faults, signatures: dict[str, Any]) -> None:
    """What clients can ask; the rules for REST are those of `util/json_tensor.cc` of TensorFlow Serving.

    It takes the shape of a tensor from the JSON, so one that the signature does not tell is no fault.
    """
    if not signatures:
        found.add(ERROR, "has no signature; clients have nothing to ask")
    for name, signature in signatures.items():
        if signature["method"] != PREDICT:
            continue  # Classify and Regress have a JSON of their own
        for kind in ("inputs", "outputs"):
            tensors = signature[kind].items()
            if foreign := [f"{key} ({info['dtype']})" for key, info in tensors if info["dtype"] not in JSON_TYPES]:
                found.add(WARNING, f"{name}: {kind} {', '.join(foreign)} have no JSON; gRPC clients alone can ask")
            if scalars := [key for key, info in tensors if info["shape"] == []]:
                found.add(
                    NOTE,
                    f'{name}: {kind} {", ".join(scalars)} are scalars; REST clients send "inputs", not "instances"',
                )
