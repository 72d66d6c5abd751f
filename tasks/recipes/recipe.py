"""The recipe of a version: one typed value, and at the same time the one table of its keys.

A key is one line below: name, type, check, default, what it acts on, section of luigi.cfg, help. From these lines come
the parameters of Luigi's tasks, the check of luigi.cfg, what a manifest records and compares, and the tables in
docs/recipes.md and luigi.cfg. A new key is one more line, and its use.
"""

from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

from tasks.recipes.checks import Check, Value, number, one_of, whole_number
from tasks.recipes.registry import ARCHITECTURES, DATASETS, OPTIMIZERS

MOST_ITERATIONS = 10_000_000
SCHEDULES = ("constant", "linear", "cosine")  # of the learning rate: see `tasks.model.schedules`
MOST_WARMUP_RECORDS = 1000  # TensorFlow Serving's limit


class ActsOn(Enum):
    """What a key decides."""

    DATA = "the images"
    WEIGHTS = "the weights, to the last bit"
    VERSION = "what a version carries besides its weights"
    GATE = "whether a version is published; shapes no byte"
    CHECKPOINTS = "where a training can be continued; shapes no byte"


@dataclass(frozen=True)
class Key:
    """One line of the table; without a `default`, the model has one of its own or nothing is a value too."""

    name: str
    check: Check
    default: Value | None
    acts_on: ActsOn
    section: str
    help: str
    option: str  # what the parameter of Luigi's tasks is called

    @property
    def shapes(self) -> bool:
        """Whether the bytes of a version depend on it."""
        return self.acts_on in {ActsOn.DATA, ActsOn.WEIGHTS, ActsOn.VERSION}


def _key(
    check: Check, default: Value | None, acts_on: ActsOn, help_: str, section: str = "recipe", *, option: str = ""
) -> Any:
    line = {"check": check, "default": default, "acts_on": acts_on, "section": section, "help": help_, "option": option}
    return field(metadata=line)


_accuracy = _level = number("a number from 0 to 1", lambda value: 0 <= value <= 1)
_rate = number("a finite number above 0", lambda value: value > 0)
_data, _weights, _version, _gate = ActsOn.DATA, ActsOn.WEIGHTS, ActsOn.VERSION, ActsOn.GATE


# fmt: off
@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A completed recipe: every key has passed its check. The field names are the keys in luigi.cfg."""

    dataset: str = _key(one_of(DATASETS), "mnist", _data, "mnist, or digits for a machine without a network")
    model: str = _key(one_of(ARCHITECTURES), "softmax", _weights, "softmax, cnn, or one of your own")
    training_iteration: int = _key(whole_number(1, MOST_ITERATIONS), 1000, _weights, "training iterations, one batch each")
    batch_size: int = _key(whole_number(1, 1_000_000), 50, _weights, "images in a batch; at most all training images")
    optimizer: str = _key(one_of(OPTIMIZERS), None, _weights, "sgd, momentum or adam; each model has its own default")
    learning_rate: float = _key(_rate, None, _weights, "on the mean loss of a batch; each model has its own default")
    schedule: str = _key(one_of(SCHEDULES), "constant", _weights, "of the learning rate: constant; linear or cosine: up over the first tenth, then down to zero", option="learning_rate_schedule")  # Luigi takes --schedule for the beginning of its --scheduler-host
    seed: int = _key(whole_number(0, 2**32 - 1), 0, _weights, "of the first weights and of the order of the data")
    min_accuracy: float = _key(_accuracy, 0.0, _gate, "validation accuracy below which a version is not published")
    threads: int = _key(whole_number(1, 256), 1, _weights, "TensorFlow's threads in each process; part of what shapes the weights", "training")
    segment: int = _key(whole_number(1, MOST_ITERATIONS), 1000, ActsOn.CHECKPOINTS, "iterations between two checkpoints; changes no bit of the result", "training")
    warmup_records: int = _key(whole_number(0, MOST_WARMUP_RECORDS), 3, _version, "requests that the server replays before a version is available", "export")
    max_regression: float | None = _key(_accuracy, None, _gate, "how far validation accuracy may lie below that of the label stable; not checked by default", "export")
    max_regression_p: float | None = _key(_level, None, _gate, "refuse only what is worse than stable by exact McNemar's test, at this level; not checked by default", "export")

    def shaping(self) -> dict[str, Value]:
        """The keys that shape the bytes of the version, with their values."""
        return {name: getattr(self, name) for name, key in KEYS.items() if key.shapes}
# fmt: on


KEYS: dict[str, Key] = {
    entry.name: Key(entry.name, **{**entry.metadata, "option": entry.metadata["option"] or entry.name})
    for entry in fields(Recipe)
}
