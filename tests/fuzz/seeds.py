"""A good content for each reader, and the hostile ones that are made of it."""

import copy
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from tasks.data.idx import format_idx
from tasks.execution.curves import Curve
from tasks.serving.release_log import Move
from tasks.versions.manifest import OTHER_KEYS, Manifest
from tests import small

FILES = {"file": {"bytes": 7, "sha256": "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"}}
MOVE = Move(
    when="2026-01-02T03:04:05.000006+00:00",
    label="stable",
    before=1,
    after=2,
    why="better",
    task="PromoteVersion",
    model="mnist",
    base_path="/models/mnist",
    config="models.config",
)
EXPORT = {
    "task": "ExportVersion",
    "started": "2026-01-02T03:04:05+00:00",
    "seconds": 1.5,
    "host": "here",
    "pid": 1,
    "parameters": {},
    "path": "/models/1",
    "training_seconds": 2.5,
}
TRAINING = {**EXPORT, "task": "TrainModel", "path": "/srv/training/1"}
RECIPE = small.make_recipe().shaping()
MANIFEST = Manifest(
    model_version=1,
    recipe={name: value for name, value in RECIPE.items() if name not in OTHER_KEYS},
    dataset_checksums=small.SMALL.checksums,
    metrics={"validation": {"accuracy": 0.9}, "test": {"accuracy": 0.8}},
    signatures={
        "predict_images": {
            "method": "tensorflow/serving/predict",
            "inputs": {"images": {"dtype": "float32", "shape": [-1, 784]}},
            "outputs": {"scores": {"dtype": "float32", "shape": None}},
        }
    },
    files=FILES,
    made_with={"tensorflow": "2.21.0"},
)
JSON: dict[str, Any] = {
    "manifest": {**asdict(MANIFEST), **{name: RECIPE[name] for name in OTHER_KEYS}},
    "foreign": {"/models/mnist": {"3": FILES}},
    "curve": asdict(Curve(0, 1.5, [(500, 2.0), (1000, 1.0)])),
    "checksums": FILES,
    "latencies": {"1": 0.0001, "128": 0.002},
    "golden": {"predictions": [[0.25, 0.75]]},
}
LINES: dict[str, Any] = {
    "log": [json.loads(MOVE.as_line()), json.loads(Move(**{**asdict(MOVE), "label": None, "after": None}).as_line())],
    "records": [EXPORT, TRAINING],
}
CONFIG = b"""model_config_list { config { name: "mnist" base_path: "/models/mnist" model_platform: "tensorflow"
  model_version_policy { specific { versions: 1 versions: 2 } } version_labels { key: "stable" value: 2 } } }
"""
DEEP = 100_000
VALUES: list[Any] = [
    None, True, False, -1, 0, 0.5, 10**18, 10**30, 2**63, -(2**63) - 1, float("inf"), float("-inf"), float("nan"),
    "", "text", "1e999", "\0", "../../x", "/etc/passwd", "\ud800", "9" * 30, "2026-01-02", "0001-01-01T00:00:00+23:00",
    "9999-12-31T23:59:59-23:00", "x" * 5000, [], {}, [[]], [None], [1, 2, 3], {"a": None}, {"": {}}, {"\0": 1},
]  # fmt: skip
RAW = ["[" * DEEP, '{"a":' * DEEP, "[" * DEEP + "]" * DEEP, "1e99999", "-" + "9" * 5000, "9" * 4000, "NaN", "Infinity"]


def seeds() -> dict[str, bytes]:
    """Reader -> a content that it takes."""
    npz, npy = io.BytesIO(), io.BytesIO()
    np.savez(npz, weights=np.ones((2, 3), np.float32), step=np.int64(5))
    np.save(npy, np.zeros((2, 3), np.uint8))
    return {
        "idx": format_idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4)),
        "config": CONFIG,
        "state": npz.getvalue(),
        "array": npy.getvalue(),
        **{name: json.dumps(value).encode() for name, value in JSON.items()},
        **{name: b"".join(json.dumps(line).encode() + b"\n" for line in lines) for name, lines in LINES.items()},
    }


def hostile(name: str) -> Iterator[bytes]:
    """What is made of a reader's good content: cut short, with each value replaced or taken out; and plain rubbish."""
    good = seeds()[name]
    step = max(1, len(good) // 100)
    yield from (
        b"",
        b"\0",
        b"\xff\xfe",
        b"\xef\xbb\xbf" + good,
        good * 2,
        b"null\n",
        b"[]\n",
        b"1\n",
        b'"text"\n',
        b"{}\n",
    )
    yield from (good[:cut] for cut in range(0, len(good), step))
    yield from (good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :] for at in range(0, len(good), step))
    if name == "config":
        yield from _hostile_configs()
    for content in [JSON[name]] if name in JSON else []:
        yield from (_dump(made) for made in _replaced(content))
    lines = LINES.get(name, [])
    for number, line in enumerate(lines):
        for made in _replaced(line):
            around = [json.dumps(other).encode() for other in lines]
            around[number] = _dump(made)
            yield b"\n".join(around) + b"\n"


def _hostile_configs() -> Iterator[bytes]:
    struct = "model_config_list { config { name: 'm' base_path: '/m' } } "
    nested = "[type.googleapis.com/google.protobuf.Struct] { fields { key: 'a' value { struct_value {"
    yield ("custom_model_config { " + nested + "fields { key: 'a' value { struct_value {" * 5000).encode()
    yield ("unknown {" * 20_000).encode()
    yield (struct + "<" * 20_000).encode()
    for value in ("'\\000'", "'\\377'", "''", "'" + "x" * 5000 + "'", "1", "nan", "-1", "'~'", "'gs://x'", "[1, 2]"):
        for key in ("name", "base_path", "model_platform"):
            yield f"model_config_list {{ config {{ {key}: {value} }} }}".encode()
    for value in ("9" * 30, "-1", "0", "1.5", "1e99", "inf", "'a'", "0x7fffffffffffffff", "-9223372036854775808"):
        yield f"model_config_list {{ config {{ version_labels {{ key: 'a' value: {value} }} }} }}".encode()
        for policy in ("latest { num_versions", "specific { versions"):
            yield f"model_config_list {{ config {{ model_version_policy {{ {policy}: {value} }} }} }} }}".encode()


def _dump(value: Any) -> bytes:
    """As JSON, where a mark stands for text that no value is dumped as."""
    text = json.dumps(value)
    for number, raw in enumerate(RAW):
        text = text.replace(f'"@{number}@"', raw)
    return text.encode()


def _replaced(content: Any) -> Iterator[Any]:
    """The content with each of its parts, and the whole, replaced by each value; and without each of its parts."""
    marks = [f"@{number}@" for number in range(len(RAW))]
    yield from VALUES
    yield from marks
    for path in _paths(content):
        for value in [*VALUES, *marks]:
            made = copy.deepcopy(content)
            _at(made, path[:-1])[path[-1]] = value
            yield made
        made = copy.deepcopy(content)
        del _at(made, path[:-1])[path[-1]]
        yield made
        if isinstance(path[-1], str):
            for key in ("\0", "../x", "/etc/passwd", "", "\ud800", "999999999999999999999"):
                made = copy.deepcopy(content)
                _at(made, path[:-1])[key] = _at(made, path[:-1]).pop(path[-1])
                yield made


def _paths(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from _paths(value, (*path, key))


def _at(content: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        content = content[key]
    return content
