"""Every reader of what others may have written, as a function of bytes that raises nothing but documented errors.

Each also uses what it was given, as the package does: a value of the wrong type must be told where it is read.
"""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

from tasks.data.arrays import map_arrays
from tasks.data.idx import format_idx, parse_idx
from tasks.errors import InvalidArchive, InvalidReleaseLog, InvalidServingConfig, TrainingFailed
from tasks.execution.curves import CURVE, read_curve
from tasks.execution.survey import read_latencies
from tasks.serving import policy
from tasks.serving.config_file import find_models, labels, parse_config
from tasks.serving.foreign import read_records as read_foreign
from tasks.serving.release_log import ReleaseLog
from tasks.serving.transaction import ServedModel
from tasks.storage.checksums import CHECKSUMS, is_intact
from tasks.versions.golden import GOLDEN, read_golden, score_difference
from tasks.versions.manifest import find_damage, parse_manifest
from tasks.versions.tree import compare_files
from tasks.wiring.records import RECORDS, find_exports
from tests import small

Reader = Callable[[bytes, Path], None]  # content, and an empty folder


def idx(content: bytes, folder: Path) -> None:  # noqa: ARG001 - as every reader
    for dimensions in (1, 3, 4):
        with contextlib.suppress(InvalidArchive):
            values = parse_idx(content, dimensions=dimensions, source="archive", most=1 << 20)
            assert values.ndim == dimensions
            if not content.startswith(b"\x1f\x8b"):
                assert format_idx(values) == content


def manifest(content: bytes, folder: Path) -> None:
    found = parse_manifest(content)
    if found is not None:
        assert found.measured
        assert 0 <= found.validation_accuracy <= 1
        assert found.size >= 0
        found.differences(small.make_recipe())
        find_damage(folder, found)
        compare_files("1", found.files, {})
        compare_files("1", found.files, found.files)
        json.dumps(dict(found.recipe), sort_keys=True)


def config(content: bytes, folder: Path) -> None:
    with contextlib.suppress(InvalidServingConfig):
        found = parse_config(content, "models.config")
        for entry in [*find_models(found, folder), *found.model_config_list.config]:
            assert all(type(version) is int for version in labels(entry).values())
            policy.loaded_versions(entry.model_version_policy, [1, 2, 3])


def log(content: bytes, folder: Path) -> None:
    (folder / "releases.jsonl").write_bytes(content)
    served = ServedModel(folder / "models.config", folder / "mnist", "", 2, lambda _: None)
    with contextlib.suppress(InvalidReleaseLog):
        for move in ReleaseLog(folder).moves():
            move.as_line().encode()
        served.history()
        edit = served.look()
        edit.came_from()
        edit.wanted({1, 2})
        with ReleaseLog(folder).locked() as moves:
            ReleaseLog(folder).append(moves)


def foreign(content: bytes, folder: Path) -> None:
    (folder / "foreign.json").write_bytes(content)
    with contextlib.suppress(InvalidReleaseLog):
        for number, files in read_foreign(folder / "models.config", Path("/models/mnist")).items():
            compare_files(str(number), files, {})
            compare_files(str(number), files, {name: {"bytes": 1, "sha256": "0" * 64} for name in files})


def records(content: bytes, folder: Path) -> None:
    (folder / RECORDS).write_bytes(content)
    for export in find_exports(folder).values():
        assert export["seconds"] >= 0
        assert export["started"] + export["host"]


def curve(content: bytes, folder: Path) -> None:
    (folder / "1000").mkdir()
    (folder / "1000" / CURVE).write_bytes(content)
    found = read_curve(folder / "1000")
    assert found is None or (found.seconds >= 0 and all(done <= 1000 for done, _ in found.points))


def checksums(content: bytes, folder: Path) -> None:
    (folder / "file").write_bytes(b"content")
    (folder / CHECKSUMS).write_bytes(content)
    assert is_intact(folder) in {True, False}


def latencies(content: bytes, folder: Path) -> None:
    (folder / "kept.json").write_bytes(content)
    assert all(batch > 0 and seconds >= 0 for batch, seconds in read_latencies(folder / "kept.json").items())


def golden(content: bytes, folder: Path) -> None:
    (folder / GOLDEN).mkdir(parents=True)
    (folder / GOLDEN / "predict.json").write_bytes(b'{"instances": [[0]]}')
    (folder / GOLDEN / "predict.expected.json").write_bytes(content)
    with contextlib.suppress(ValueError):
        for _, rows in read_golden(folder).values():
            assert 0 <= score_difference(rows, rows)


def state(content: bytes, folder: Path) -> None:
    from tasks.model.checkpoints import STATE, load_weights  # and with it TensorFlow

    (folder / STATE).write_bytes(content)
    with contextlib.suppress(TrainingFailed):
        assert all(isinstance(name, str) for name in load_weights(folder))


def array(content: bytes, folder: Path) -> None:
    for split in ("training", "validation", "test"):
        for kind in ("images", "labels"):
            (folder / f"{split}_{kind}.npy").write_bytes(content)
    with contextlib.suppress(InvalidArchive):
        splits = map_arrays(folder)
        assert len(splits.test.images) == len(splits.test.labels)


READERS: dict[str, Reader] = {
    reader.__name__: reader
    for reader in (
        idx,
        manifest,
        config,
        log,
        foreign,
        records,
        curve,
        checksums,
        latencies,
        golden,
        state,
        array,
    )
}
