"""Any series of promotions, roll-backs, removals and quarantines against a model of ten lines."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tasks.errors import ReleaseRefused
from tasks.serving import promotion, quarantine
from tasks.serving.rollout import Rollout
from tests.serving.conftest import loaded, promote, roll_back, serve

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # thousands of files that need no disk
VERSIONS = range(1, 5)
LABELS = st.sampled_from(["stable", "canary"])
NUMBERS = st.sampled_from(VERSIONS)


class Model:
    """What labels point at, and how they came there: (before, after, whether by a roll-back) for each label."""

    def __init__(self):
        self.moves = {"stable": [], "canary": []}
        self.gone = set()

    def now(self, label):
        return self.moves[label][-1][1] if self.moves[label] else None

    def goal(self, label):
        before, now, by_roll_back = self.moves[label][-1] if self.moves[label] else (None, None, False)
        return now if by_roll_back else before

    def move(self, label, version, *, by_roll_back=False):
        if version in self.gone:
            return False
        if self.now(label) != version:
            self.moves[label].append((self.now(label), version, by_roll_back))
        return True


class Releases(RuleBasedStateMachine):
    """The real thing, on files, beside the model; without servers, so that nothing is waited for."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY))
        for version in VERSIONS:
            (self.folder / "mnist" / str(version)).mkdir(parents=True)
        self.model = Model()

    def teardown(self):
        shutil.rmtree(self.folder)

    @property
    def served(self):
        """Read anew each time, as each command does."""
        return serve(self.folder / "models.config", self.folder / "mnist", verdict=lambda _: None)

    def tries(self, function, *arguments, **options):
        """Whether it was not refused."""
        try:
            function(self.served, *arguments, **options)
        except ReleaseRefused:
            return False
        return True

    @rule(label=LABELS, version=NUMBERS)
    def promote(self, label, version):
        assert self.model.move(label, version) == self.tries(promote, label, version)

    @rule(label=LABELS)
    def roll_back(self, label):
        goal = self.model.goal(label)
        expected = goal is not None and self.model.move(label, goal, by_roll_back=True)
        assert expected == self.tries(roll_back, label)

    @rule(label=LABELS)
    def remove_label(self, label):
        promotion.remove_label(self.served, label, Rollout("mnist", (), 0.0), why="")
        self.model.move(label, None)

    @precondition(lambda self: not self.model.gone)
    @rule(version=NUMBERS)
    def quarantine(self, version):
        quarantine.quarantine(self.served, version, force=True, why="")  # once more changes nothing
        for label in self.model.moves:
            if self.model.now(label) == version:
                self.model.move(label, None)
        self.model.gone.add(version)

    @invariant()
    def labels_point_where_they_should(self):
        expected = {label: self.model.now(label) for label in self.model.moves if self.model.now(label)}
        assert expected == self.served.labels()

    @invariant()
    def every_move_is_on_record(self):
        history = [move for move in self.served.history() if move.label is not None]
        for label, moves in self.model.moves.items():
            found = [(move.before, move.after) for move in history if move.label == label]
            assert [(before, after) for before, after, _ in moves] == found

    @invariant()
    def what_is_labelled_is_loaded_and_nothing_is_that_is_gone(self):
        names = loaded(self.served) if (self.folder / "models.config").exists() else []
        assert set(self.served.labels().values()) <= set(names)
        assert not self.model.gone & set(names)


TestReleases = pytest.mark.long(Releases.TestCase)
TestReleases.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
