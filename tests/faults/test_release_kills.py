"""Changes of what is served that are killed at random moments: the log says what happened, and the file can be read.

What happened is seen by comparing labels and folders before and after, without anything of `tasks`.
"""

import json
import os
import random
import shutil
import signal
import threading
import time

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from tasks.serving.transaction import ServedModel

pytestmark = pytest.mark.long

KILLS = int(os.environ.get("RELEASE_KILLS", "8"))

# Says when it begins, makes one change, and says when it is done.
CHANGE = """
import sys
from pathlib import Path
from tasks.errors import ReleaseRefused
from tasks.serving import promotion, quarantine, retirement
from tasks.serving.rollout import Rollout
from tasks.serving.transaction import ServedModel

base_path, config_path, what, label, version = Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:6]
served = ServedModel(config_path, base_path, "mnist", 1, lambda _: None)
nobody = Rollout("mnist", (), 60.0, 0.0)
served.labels()  # imports protobuf
print("begins", flush=True)
try:
    if what == "promote":
        promotion.promote(served, label, int(version), nobody, why="")
    elif what == "roll back":
        promotion.roll_back(served, label, nobody, why="")
    elif what == "remove":
        promotion.remove_label(served, label, nobody, why="")
    elif what == "quarantine":
        quarantine.quarantine(served, int(version), force=True, why="")
    else:
        retirement.retire(served, 2, apply=True, why="")
except ReleaseRefused:
    pass
print("done", flush=True)
"""


def read_state(base_path, config_path):
    """Where each label points, and which versions are there."""
    config = model_server_config_pb2.ModelServerConfig()
    if config_path.exists():
        text_format.Parse(config_path.read_text(), config)
    labels = {key: value for model in config.model_config_list.config for key, value in model.version_labels.items()}
    return labels, {int(path.name) for path in base_path.iterdir() if path.name.isdecimal()}


def find_changes(before, after):
    """(label, from, to) of each label that moved, and (None, version, None) of each version that has gone."""
    (labels, versions), (labels_now, versions_now) = before, after
    moved = [(label, labels.get(label), labels_now.get(label)) for label in {*labels, *labels_now}]
    return sorted(
        [move for move in moved if move[1] != move[2]] + [(None, version, None) for version in versions - versions_now],
        key=str,
    )


def test_whatever_is_killed_the_log_tells_what_took_place(base_path, config_path, in_process):
    """Each move that took place is in the log once, none that did not is, and the file parses at every moment."""
    draw, faults, stop, reads = random.Random(20), [], threading.Event(), 0

    def watch():
        nonlocal reads
        while not stop.is_set():
            try:
                read_state(base_path, config_path)
                reads += 1
                time.sleep(0.001)
            except Exception as error:  # noqa: BLE001 - none is allowed, and the thread must not end silently
                faults.append(error)

    watcher = threading.Thread(target=watch)
    watcher.start()
    log, seen, cut_short, span = config_path.parent / "releases.jsonl", 0, 0, 0.1
    served = ServedModel(config_path, base_path, "mnist", 1, lambda _: None)
    for _ in range(KILLS):
        spare = min(read_state(base_path, config_path)[1])
        newest = max(read_state(base_path, config_path)[1])
        for number in range(newest + 1, newest + 3):  # new versions arrive all the time
            shutil.copytree(base_path / str(spare), base_path / f".new-{number}")
            (base_path / f".new-{number}").rename(base_path / str(number))
        before = read_state(base_path, config_path)
        what = draw.choice(["promote", "promote", "roll back", "remove", "quarantine", "retire"])
        version = draw.choice(sorted(before[1])[1:])
        change = in_process(CHANGE, base_path, config_path, what, draw.choice(["stable", "canary"]), version)
        assert "begins\n" == change.stdout.readline(), change.communicate()
        time.sleep(draw.random() * span)
        change.send_signal(signal.SIGKILL)
        was_cut_short = change.communicate()[0] != "done\n"
        span *= 1.5 if was_cut_short else 0.7  # about as long as a change takes here and now
        cut_short += was_cut_short
        ignoring = [(move.label, move.before, move.after) for move in served.history()][seen:]
        with served.edit():
            """The next one in cuts off what did not take place."""
        entries = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        told = [(entry["label"], entry["from"], entry["to"]) for entry in entries[seen:]]
        assert find_changes(before, read_state(base_path, config_path)) == sorted(told, key=str), what
        assert ignoring == told, what
        seen = len(entries)
    stop.set()
    watcher.join()
    print(f"{KILLS} kills, {cut_short} before the change was done; {seen} moves; {reads} reads of the file")  # noqa: T201 - for a long run
    assert [] == faults
    assert reads > KILLS
    assert cut_short
