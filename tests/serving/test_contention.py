"""Several processes change what is served at once, and some of them die while they do."""

import json
import random
import signal
import threading
import time

from tasks.serving.config_file import find_model, labels, read_config

# Moves labels about; prints one line for each try: the reason given, and how many moves it led to.
MOVER = """
import random, sys
from pathlib import Path
from tasks.errors import ReleaseRefused
from tasks.serving import promotion
from tasks.serving.rollout import Rollout
from tasks.serving.transaction import ServedModel

base_path, config_path, number, tries = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
served = ServedModel(config_path, base_path, "mnist", verify=lambda *_: None)
nobody = Rollout("mnist", (), 0.0, 0.0)
draw = random.Random(number)
for index in range(tries):
    why, label = f"{number}/{index}", draw.choice(["stable", "canary"])
    try:
        if draw.random() < 0.6:
            moves = promotion.promote(served, label, draw.randint(1, 4), nobody, check=lambda *_: None, why=why)
        else:
            moves = promotion.roll_back(served, label, nobody, check=lambda *_: None, why=why)
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


def test_two_hundred_moves_from_four_processes(served, in_process):
    """Every line of the log is one move that was reported, and the file parses at every moment."""
    movers = [in_process(MOVER, served.base_path, served.config_path, number, 50) for number in range(4)]
    faults, reads = [], 0

    def watch():
        nonlocal reads
        while any(mover.poll() is None for mover in movers):
            try:
                config = read_config(served.config_path)
                assert config is None or len(config.model_config_list.config) == 1
                reads += config is not None
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
    assert not list(served.config_path.parent.glob(".waiting-*")) + list(served.config_path.parent.glob(".aside-*"))


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
        """The next one in writes what the last one left."""
    entries = check_log(served)
    written = [entry["why"] for entry in entries]
    assert len(written) == len(set(written))
    assert set(written) >= {why for why, moves in reported.items() if moves == "1"}
    assert not set(written) & {why for why, moves in reported.items() if moves == "0"}


# Promotes 2, and dies at a certain step: the call of a function of a certain name.
DYING = """
import os, signal, sys
from pathlib import Path
from tasks.storage import publishing
from tasks.serving import promotion, release_log
from tasks.serving.rollout import Rollout
from tasks.serving.transaction import ServedModel

def die(function, after):
    def replaced(*arguments):
        if after:
            function(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)
    return replaced

served = ServedModel(Path(sys.argv[2]), Path(sys.argv[1]), "mnist", verify=lambda *_: None)
name, after = sys.argv[3], sys.argv[4] == "after"
owner = release_log.LogWriter if name == "_append" else storage
nobody = Rollout("mnist", (), 0.0, 0.0)
promotion.promote(served, "stable", 1, nobody, check=lambda *_: None, why="first")
point = promotion._point
def last_step(*arguments, **more):
    setattr(owner, name, die(getattr(owner, name), after))
    return point(*arguments, **more)
promotion._point = last_step
promotion.promote(served, "stable", 2, nobody, check=lambda *_: None, why="second")
"""


def die_at(served, in_process, step, moment):
    process = in_process(DYING, served.base_path, served.config_path, step, moment)
    assert -signal.SIGKILL == process.wait(60), process.communicate()
    with served.edit() as edit:
        return edit.labels, [(move.before, move.after, move.why) for move in edit.history]


def test_a_move_that_was_not_made_leaves_no_line(served, in_process):
    """Killed before the config file is renamed: the label is where it was, and so says the log."""
    expected = {"stable": 1}, [(None, 1, "first")]
    assert expected == die_at(served, in_process, "publish_file", "before")


def test_a_move_that_was_made_gets_its_line(served, in_process):
    """Killed between the rename and the line: the next process writes the line, with the reason that was given."""
    expected = {"stable": 2}, [(None, 1, "first"), (1, 2, "second")]
    assert expected == die_at(served, in_process, "publish_file", "after")


def test_a_line_that_was_written_is_not_written_again(served, in_process):
    """Killed after the line: it is there once."""
    expected = {"stable": 2}, [(None, 1, "first"), (1, 2, "second")]
    assert expected == die_at(served, in_process, "_append", "after")
