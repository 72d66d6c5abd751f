"""Three versions that share one training of three segments, and what is asked about a run of them."""

import json
from pathlib import Path

# Three versions that share one training of three segments; after a few images none of them is good.
CHAIN = """
[recipe]
dataset = small
batch_size = 2
learning_rate = 0.02
training_iteration = 6
[recipe.1]
training_iteration = 2
[recipe.2]
training_iteration = 4
[training]
segment = 2
"""
VERSION_FILES = {
    "assets.extra/golden/answers.tfrecord",
    "assets.extra/golden/classify.expected.json",
    "assets.extra/golden/classify.json",
    "assets.extra/golden/predict.expected.json",
    "assets.extra/golden/predict.json",
    "assets.extra/manifest.json",
    "assets.extra/tf_serving_warmup_requests",
    "saved_model.pb",
    "variables/variables.data-00000-of-00001",
    "variables/variables.index",
}


def manifest_of(version: Path) -> dict:
    return json.loads((version / "assets.extra" / "manifest.json").read_text())


def iterations_in(records: list[dict]) -> list[int]:
    return [record["iterations"] for record in records if record["task"] == "TrainModel"]


def snapshot(directory: Path) -> dict[str, tuple[int, int]]:
    """Every path below a folder with its time of last change and its inode."""
    return {
        str(path.relative_to(directory)): (path.lstat().st_mtime_ns, path.lstat().st_ino)
        for path in directory.rglob("*")
    }
