"""What is known of each version of a tree: whether it is fit, what it answers, how fast, and what is served.

Answers are the same whenever they are asked for. How long a request takes is not: it is measured once for each version
and machine, and kept in the work directory.
"""

import json
import os
import socket
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from tasks.execution import calls
from tasks.execution.computations import ask_version, verify_tree
from tasks.execution.lineage import digest
from tasks.report.rows import Seen
from tasks.serving import policy
from tasks.serving.config_file import find_model, labels, read_config
from tasks.serving.foreign import read_records
from tasks.storage import checksums, publishing
from tasks.storage.files import read_regular
from tasks.storage.json_text import parse_json
from tasks.versions.manifest import made_with, read_manifest
from tasks.versions.tree import QUARANTINED, WARNING, Fault, Verified, find_versions, version_number

ASSETS = "assets.extra/"  # shape no answer


def survey(
    base_path: Path,
    versions: Collection[int],
    config_path: Path,
    arrays_directory: Path,
    *,
    classes: int,
    kept: Path,
    measure_again: bool,
    threads: int,
    public_key: Path | None,
    report: calls.Report,
) -> tuple[list[Seen], list[Fault]]:
    """Verify, ask and time each version (or those of `versions`), quarantined ones too; and what else is wrong.

    A version that cannot be asked has a fault that says why.

    Args:
        base_path: where they lie.
        versions: which of them; all if empty.
        config_path: the server's config file, which has labels and policy.
        arrays_directory: what PrepareDataset left; its validation and test images are asked about.
        classes: how many scores each image has to get.
        kept: the folder of the latencies.
        measure_again: take none of those that are kept.
        threads: TensorFlow's.
        public_key: whoever is not signed by it is not asked, nor is a quarantined one.
        report: called with the fraction that is done, and a line of text.
    """
    served = find_model(read_config(config_path), base_path)
    faults, verified = calls.run(
        verify_tree,
        base_path,
        versions,
        threads=threads,
        promoted=read_records(config_path.resolve(), base_path),
        public_key=public_key,
        report=lambda done, told: report(done / 2, told),
    )
    pointed = labels(served)
    loaded = policy.loaded_versions(served.model_version_policy, find_versions(base_path)) if served else set()
    verified += [one for one in quarantined(base_path, public_key) if not versions or _number(one.name) in versions]
    seen = []
    for index, one in enumerate(verified):
        report((1 + index / len(verified)) / 2, f"measuring {index + 1} of {len(verified)}")
        number, here = _number(one.name), base_path / one.name
        is_served = one.name == str(number)
        scores, latencies, fault = (
            _ask(here, arrays_directory, kept, classes, measure_again=measure_again, threads=threads)
            if one.loads
            else ({}, {}, None)
        )
        seen.append(
            Seen(
                name=one.name,
                number=number,
                manifest=one.manifest,
                faults=[*one.faults, *([fault] if fault else [])],
                size=sum(path.stat().st_size for path in here.rglob("*") if path.is_file()),
                labels=[label for label, version in pointed.items() if is_served and version == number],
                is_loaded=is_served and number in loaded,
                is_quarantined=one.name.endswith(QUARANTINED),
                scores=scores,
                latencies=latencies,
            )
        )
    return seen, faults


def quarantined(base_path: Path, public_key: Path | None) -> Iterator[Verified]:
    """The versions that were taken back, as they lie; they are not verified.

    One with links is not to be loaded, nor, with a key, any of them: nobody can tell whether it is signed.
    """
    for folder in sorted(base_path.glob(f"*{QUARANTINED}")):
        if folder.is_dir() and version_number(folder.name.removesuffix(QUARANTINED)) is not None:
            loads = None if public_key or checksums.find_links(folder) else True
            yield Verified(folder.name, read_manifest(folder), (), loads=loads)


def _number(name: str) -> int:
    return version_number(name.removesuffix(QUARANTINED)) or 0


def _ask(
    directory: Path, arrays_directory: Path, kept: Path, classes: int, *, measure_again: bool, threads: int
) -> tuple[dict[str, Any], dict[int, float], Fault | None]:
    """Split -> scores, images in a request -> seconds; or why there are none."""
    try:
        file = kept / f"{_identity(directory, threads)}.json"
        latencies = {} if measure_again else read_latencies(file)
        scores, measured = calls.run(
            ask_version, directory, arrays_directory, classes=classes, timed=not latencies, threads=threads
        )
    except Exception as error:  # noqa: BLE001 - on somebody else's graph TensorFlow raises whatever it stumbles over
        first = (str(error).splitlines() or [type(error).__name__])[0].removeprefix(f"{directory}: ")
        return {}, {}, Fault(directory.name, WARNING, f"cannot be measured: {first}")
    if measured:
        publishing.publish_file(file, json.dumps(measured).encode() + b"\n")
    return scores, latencies or measured, None


def _identity(directory: Path, threads: int) -> str:
    """What a latency is of: the model's bytes, and what runs it."""
    files = {name: entry for name, entry in checksums.list_files(directory).items() if not name.startswith(ASSETS)}
    tensorflow = made_with()["tensorflow"]
    return digest([files, threads, tensorflow, socket.gethostname(), os.uname().machine])


def read_latencies(path: Path) -> dict[int, float]:
    """What was kept; nothing where nothing readable was."""
    try:
        kept = {int(batch): float(seconds) for batch, seconds in parse_json(read_regular(path)).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    return kept if all(batch > 0 and seconds >= 0 for batch, seconds in kept.items()) else {}
