"""Several processes change what is served at once, and some of them die while they do."""

import functools
import json
import random
import signal
import threading
import time

import pytest

from tasks.serving import promotion
from tasks.serving.config_file import find_model, labels, read_config
from tasks.serving.rollout import Rollout

# Moves labels about; prints one line for each try: the reason given, and how many moves it led to.
MOVER = """
import random, sys
from pathlib import Path
from tasks.errors import ReleaseRefused
from tasks.serving import promotion
from tasks.serving.rollout import Rollout
from tasks.serving.transaction import ServedModel

base_path, config_path, number, tries = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
served = ServedModel(config_path, base_path, "mnist", 2, lambda _: None)
nobody = Rollout("mnist", (), 60.0, 0.0)
draw = random.Random(number)
for index in range(tries):
    why, label = f"{number}/{index}", draw.choice(["stable", "canary"])
    try:
        if draw.random() < 0.6:
            moves = promotion.promote(served, label, draw.randint(1, 4), nobody, why=why)
        else:
            moves = promotion.roll_back(served, label, nobody, why=why)
    except ReleaseRefused:
        moves = []
    print(why, len(moves), flush=True)
"""


def check_log(served):
    """Each label's moves follow each other, and the last one leads to where it points; gives the entries."""
    entries = [json.loads(line) for line in served.log.path.read_text().splitlines()]
    now = labels(find_model(read_config(served.config_path), served.base_path))
    for label in ("stable", "canary"):
        moves = [entry for entry in entries if entry["label"] == label]
        assert [None, *(entry["to"] for entry in moves)][: len(moves)] == [entry["from"] for entry in moves]
        assert now.get(label) == (moves[-1]["to"] if moves else None)
    return entries


@pytest.mark.long
def test_two_hundred_moves_from_four_processes(served, in_process):
    """Every line of the log is one move that was reported, and the file parses at every moment."""
    movers = [in_process(MOVER, served.base_path, served.config_path, number, 50) for number in range(4)]
    faults, reads = [], 0

    def watch():
        nonlocal reads
        while any(mover.poll() is None for mover in movers):
            try:
                config = read_config(served.config_path)
                models = len(config.model_config_list.config)
                assert models == 1 or not reads
                reads += models
                served.history()
            except Exception as error:  # noqa: BLE001 - none is allowed, and the thread must not end silently
                faults.append(error)

    watcher = threading.Thread(target=watch)
    watcher.start()
    printed = [mover.communicate(timeout=300) for mover in movers]
    watcher.join()
    assert [0] * 4 == [mover.returncode for mover in movers], printed
    reported = dict(line.split() for out, _ in printed for line in out.splitlines())
    assert 200 == len(reported)
    assert [] == faults
    assert reads > 50
    entries = check_log(served)
    assert sorted(entry["why"] for entry in entries) == sorted(why for why, moves in reported.items() if moves == "1")
    assert len(entries) > 60
    assert not list(served.config_path.parent.glob(".aside-*"))


@pytest.mark.long
def test_processes_that_are_killed_leave_a_log_without_gaps(served, in_process):
    """Wherever SIGKILL strikes, each move keeps its line with its reason, and no line tells of any other."""
    reported = {}
    draw = random.Random(1)
    for number in range(6):
        mover = in_process(MOVER, served.base_path, served.config_path, number, 100_000)
        lines = [mover.stdout.readline()]
        time.sleep(draw.random() * 0.3)
        mover.send_signal(signal.SIGKILL)
        lines += mover.communicate()[0].splitlines()
        reported.update(line.split() for line in lines if len(line.split()) == 2)
    with served.edit():
        """The next one in cuts off what did not take place."""
    entries = check_log(served)
    written = [entry["why"] for entry in entries]
    assert len(written) == len(set(written))
    assert set(written) >= {why for why, moves in reported.items() if moves == "1"}
    assert not set(written) & {why for why, moves in reported.items() if moves == "0"}


# Promotes 1, then 2, and dies at a certain step of the second: before or after the call of a function.
DYING = """
import os, signal, sys
from pathlib import Path
from tasks.serving import config_file, promotion, release_log
from tasks.serving.rollout import Rollout
from tasks.serving.transaction import ServedModel
from tasks.storage import publishing

def die(function, after):
    def replaced(*arguments, **more):
        if after:
            function(*arguments, **more)
        os.kill(os.getpid(), signal.SIGKILL)
    return replaced

served = ServedModel(Path(sys.argv[2]), Path(sys.argv[1]), "mnist", 2, lambda _: None)
owner, name = {"file": (publishing, "publish_file"), "line": (release_log.ReleaseLog, "append")}[sys.argv[3]]
nobody = Rollout("mnist", (), 0.0, 0.0)
promotion.promote(served, "stable", 1, nobody, why="first")
point = promotion._point
def last_step(*arguments, **more):
    setattr(owner, name, die(getattr(owner, name), sys.argv[4] == "after"))
    return point(*arguments, **more)
promotion._point = last_step
promotion.promote(served, "stable", 2, nobody, why="second")
"""


@pytest.mark.parametrize(
    ("step", "moment", "is_made"),
    [("file", "before", False), ("line", "before", False), ("line", "after", False), ("file", "after", True)],
)
def test_the_log_tells_of_the_move_if_it_was_made(served, in_process, step, moment, is_made):
    """Killed before or after the line is written, or after the file is renamed: log and file say the same."""
    process = in_process(DYING, served.base_path, served.config_path, step, moment)
    assert -signal.SIGKILL == process.wait(60), process.communicate()
    first, second = (None, 1, "first"), (1, 2, "second")
    moves = [first, second] if is_made else [first]
    assert {"stable": 2 if is_made else 1} == served.labels()
    assert moves == [(move.before, move.after, move.why) for move in served.history()]  # without the lock
    with served.edit() as edit:
        assert moves == [(move.before, move.after, move.why) for move in edit.history]
    assert len(moves) == len(served.log.path.read_text().splitlines())


def test_a_label_that_was_moved_back_by_hand_was_moved(served):
    """A move that is no longer visible because a person undid it stays in the log, and what they did follows it."""
    promote = functools.partial(promotion.promote, rollout=Rollout("mnist", (), 0.0, 0.0), why="")
    promote(served, "stable", 1)
    before = served.config_path.read_text()
    promote(served, "stable", 2)
    served.config_path.write_text(before)
    assert [1, 2] == [move.after for move in served.history()]
    promote(served, "stable", 3)
    assert [(None, 1), (1, 2), (2, 1), (1, 3)] == [(move.before, move.after) for move in served.history()]
