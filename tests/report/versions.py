"""Versions as a survey finds them, without any model: with scores that get so many images right."""

import numpy as np

from tasks.report.rows import Seen, compare
from tasks.versions.manifest import Manifest
from tests import small

IMAGES, LABELS = small.make_images(200, seed=5)
SPLIT_LABELS = {"validation": LABELS[:100], "test": LABELS}
RECIPE = small.make_recipe().shaping()


def scores(labels, wrong=(), sure=0.9):
    """Scores float32 [n, 10] that are right but for the images in `wrong`, which are taken for the next digit."""
    given = np.full((len(labels), 10), (1 - sure) / 9, np.float32)
    answered = labels.astype(int)
    answered[list(wrong)] = (answered[list(wrong)] + 1) % 10
    given[np.arange(len(labels)), answered] = sure
    return given


def seen(number, wrong=(), *, recipe=None, measured=True, made_elsewhere=False, **changed):
    """A version whose answers to those test images are wrong."""
    manifest = Manifest(
        model_version=number,
        recipe={**RECIPE, **(recipe or {})},
        dataset_checksums={"train-images": "00" * 32},
        metrics={"validation": {"accuracy": 0.9}},
        signatures={},
        files={"saved_model.pb": {"bytes": 1, "sha256": "ab" * 32}},
        made_with={"tensorflow": "2.21.0"},
    )
    found = {split: scores(labels, wrong if split == "test" else ()) for split, labels in SPLIT_LABELS.items()}
    return Seen(
        **{
            "name": str(number),
            "number": number,
            "manifest": None if made_elsewhere else manifest,
            "faults": (),
            "size": 12_345,
            "scores": found if measured else {},
            "latencies": {1: 0.0001, 128: 0.002} if measured else {},
            **changed,
        }
    )


def compared(*versions, faults=()):
    """What is said of them."""
    return compare(
        versions,
        SPLIT_LABELS,
        base_path="/models/mnist",
        dataset="small",
        class_names=tuple("0123456789"),
        faults=faults,
    )
