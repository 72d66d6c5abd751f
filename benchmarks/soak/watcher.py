"""A process that loads every version that it sees: `python -m benchmarks.soak.watcher FILE TREE ...`.

It loads as a server does, in a session of its own, and asks `serving_default` what the version's golden request asks.
The scores must be finite, the golden ones, and bit for bit those of every earlier version with that number. What fails
is broken if the same folder still has that number afterwards. It ends with its standard input, and writes what it
saw into the file.
"""

from __future__ import annotations

import gc
import json
import select
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.model.tensorflow_setup import import_tensorflow, in_this_thread, prepare_tensorflow

PAUSE = 0.05  # seconds between two looks
GOLDEN = Path("assets.extra", "golden")
TOLERANCE = 1e-4  # of a score


@dataclass
class Watch:
    """What is seen in some trees."""

    trees: list[Path]
    scores: dict[str, bytes] = field(default_factory=dict)  # by number
    loaded: set[tuple[Path, int, int]] = field(default_factory=set)
    seen: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def look(self) -> None:
        """Load what was not there before, and of all others the one whose turn it is."""
        folders = [folder for tree in self.trees for folder in _numbered(tree)]
        there = {(folder, *which) for folder in folders if (which := _is(folder))}
        fresh, self.loaded = sorted(there - self.loaded), self.loaded & there
        known = sorted(self.loaded)
        self.seen["looks"] += 1
        turn = self.seen["looks"] % (len(known) or 1)
        for one in [*fresh, *known[turn : turn + 1]]:
            self.load(one)

    def load(self, which: tuple[Path, int, int]) -> None:
        """Load a version, and compare what it says."""
        folder = which[0]
        try:
            found = _ask(folder)
            expected = self.scores.setdefault(folder.name, found)
            fault = "" if found == expected else "its scores are not those that this number had before"
        except Exception as error:  # noqa: BLE001 - whatever a version does to who loads it
            fault = f"{type(error).__name__}: {error}"
        gc.collect()  # graph and session know each other: without it, 14 KB stay of each
        if not fault:
            self.seen["versions that came"] += which not in self.loaded
            self.seen["loads"] += 1
            self.loaded.add(which)
        elif _is(folder) != which[1:]:
            self.seen["went while they were loaded"] += 1
        else:
            self.loaded.add(which)
            self.broken.append(f"{folder}: {' '.join(fault.split())[:400]}")


def _numbered(tree: Path) -> list[Path]:
    return [folder for folder in tree.iterdir() if folder.name.isdecimal()] if tree.is_dir() else []


def _is(folder: Path) -> tuple[int, int] | None:
    """Which folder has that name: another one, or one that came back, is told apart; nothing if none has."""
    try:
        found = folder.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_ctime_ns


def _ask(folder: Path) -> bytes:
    """The scores (by class) for the golden request, as they are in memory; raises ValueError if they are not right."""
    import tensorflow as tf

    tf1 = tf.compat.v1
    asked = json.loads((folder / GOLDEN / "classify.json").read_text())["examples"]
    golden = json.loads((folder / GOLDEN / "classify.expected.json").read_text())["results"]
    with tf.Graph().as_default() as graph, tf1.Session(graph=graph, config=in_this_thread()) as session:
        signature = tf1.saved_model.loader.load(session, ["serve"], str(folder)).signature_def["serving_default"]
        outputs = [signature.outputs[name].name for name in ("classes", "scores")]
        classes, scores = session.run(outputs, {signature.inputs["inputs"].name: [_example(one) for one in asked]})
    by_class: NDArray[np.float32] = np.take_along_axis(scores, np.argsort(classes.astype(str), axis=1), axis=1)
    expected = np.array([[score for _, score in sorted(row)] for row in golden], np.float32)
    if not np.isfinite(by_class).all() or not np.abs(by_class - expected).max() <= TOLERANCE:
        raise ValueError(f"its scores are not the golden ones: {by_class.tolist()}")
    return by_class.tobytes()


def _example(features: dict[str, list[float]]) -> Any:
    import tensorflow as tf

    feature = {name: tf.train.Feature(float_list=tf.train.FloatList(value=values)) for name, values in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def main() -> None:
    """Look until standard input ends; then write JSON."""
    import_tensorflow()
    prepare_tensorflow(1)
    gc.collect()
    gc.freeze()  # what TensorFlow has imported need not be looked through after each load
    said, *trees = map(Path, sys.argv[1:])
    watch = Watch(trees)
    while not select.select([sys.stdin], [], [], 0)[0]:
        watch.look()
        time.sleep(PAUSE)
    said.write_text(json.dumps({"seen": watch.seen, "lost": watch.broken}))


if __name__ == "__main__":
    main()
