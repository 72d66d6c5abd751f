"""Pushes and pulls that are killed at random moments, and pushers that get in each other's way.

Whoever looks into the bucket, or at the tree that is pulled to, never sees half a version. To try it on another store
than moto: `PUSH_ENDPOINT=http://host:port PUSH_BUCKET=s3://bucket/prefix`, with a prefix that is empty.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.storage.object_store import open_store
from tasks.versions.bucket import SAVED_MODEL, find_stored, look_up
from tasks.versions.manifest import read_manifest, write_manifest
from tasks.versions.push import is_pushed
from tests.buckets import CREDENTIALS, write_version
from tests.conftest import ROOT, names_in, read_tree
from tests.moving import Moving

pytestmark = pytest.mark.long

KILLS = int(os.environ.get("PUSH_KILLS", "6"))
PUSHERS = 8


@pytest.fixture
def bucket(s3, monkeypatch):
    """URL and endpoint of an empty bucket."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    if "PUSH_ENDPOINT" in os.environ:
        url = f"{os.environ['PUSH_BUCKET']}/{random.SystemRandom().getrandbits(40)}"
        return url, os.environ["PUSH_ENDPOINT"]
    return s3.make_bucket(), s3.address


def load_all(store, seen, predict):
    """Fetch and load every version of a bucket that has a `saved_model.pb` and was not seen; notes its number."""
    for number, stored in find_stored(store).items():
        if SAVED_MODEL in stored.entries and number not in seen:
            with tempfile.TemporaryDirectory() as folder:
                for name, entry in stored.entries.items():
                    Path(folder, name).parent.mkdir(parents=True, exist_ok=True)
                    Path(folder, name).write_bytes(b"".join(store.get(entry.key)))
                predict(Path(folder))
            seen.append(number)


def renumber(exported, base_path, number):
    """One of the versions that were really exported, under a number of its own."""
    shutil.copytree(exported / str(1 + number % 4), base_path / str(number))
    manifest = read_manifest(base_path / str(number))
    assert 1 + number % 4 == manifest.model_version
    write_manifest(base_path / str(number), replace(manifest, model_version=number))


def test_whatever_is_killed_no_half_version_is_seen(exported, bucket, tmp_path):
    """A watcher of the bucket and one of the pulled tree load whatever they see; in the end all is there, and equal."""
    from tests.reader import Served

    draw, store, stop, faults, seen, looks = random.Random(30), open_store(*bucket), threading.Event(), [], [], 0
    base_path, served = tmp_path / "mnist", tmp_path / "served"
    served.mkdir()

    def predict(folder):
        assert (1, 10) == Served(folder).predict(np.zeros((1, 784), np.float32)).shape

    def watch():
        nonlocal looks
        while not stop.is_set():
            try:
                load_all(store, seen, predict)
            except Exception as error:  # noqa: BLE001 - none is allowed, and the thread must not end silently
                faults.append(error)
            looks += 1
            time.sleep(0.02)

    reader = subprocess.Popen(
        [sys.executable, "-m", "tests.reader", "watch", str(served)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "watching\n" == reader.stdout.readline()
    watcher = threading.Thread(target=watch)
    watcher.start()
    killed, durations = {"push": 0, "pull": 0}, {"push": 0.3, "pull": 0.3}
    try:
        for number in range(1, KILLS + 1):
            renumber(exported, base_path, number)
            for what, folder in (("push", base_path), ("pull", served)):
                moving = Moving(what, bucket, folder, number)
                moving.go()
                time.sleep(draw.random() * durations[what])
                killed[what] += moving.end(kill=True) != "done"
                moving = Moving(what, bucket, folder, number)  # the next run completes it
                began = time.monotonic()
                moving.go()
                assert "done" == moving.end()
                durations[what] = time.monotonic() - began
    finally:
        stop.set()
        watcher.join()
        stdout, stderr = reader.communicate("")
    print(f"{KILLS} pushes and pulls killed, before they were done {killed}; {looks} looks at the bucket")  # noqa: T201 - for a long run
    assert [] == faults
    assert 0 == reader.returncode, stderr
    assert KILLS == len(seen) == stdout.count(",") + 1
    assert all(killed.values())
    assert looks > KILLS
    assert read_tree(base_path) == read_tree(served)
    assert [str(number) for number in sorted(seen)] == sorted(names_in(served), key=int)


@pytest.mark.parametrize("kind", ["s3", "folder"])
def test_of_pushers_of_one_version_one_recipe_wins(bucket, tmp_path, kind):
    """Eight push at once, half of them another recipe: the bucket has one of the two, and each loser is told which."""
    if kind == "folder":
        (tmp_path / "bucket").mkdir()
        bucket = (str(tmp_path / "bucket"), "")
    for number in range(1, 1 + max(1, KILLS // 4)):
        folders = [write_version(tmp_path / str(seed), number, seed=seed).parent for seed in (0, 1)]
        pushers = [Moving("push", bucket, folders[index % 2], number) for index in range(PUSHERS)]
        for pusher in pushers:
            pusher.go()
        said = [pusher.end() for pusher in pushers]
        stored = look_up(open_store(*bucket), number)
        winner = [is_pushed(stored, folder / str(number)) for folder in folders].index(True)
        assert ["done"] * (PUSHERS // 2) == said[winner::2]
        for line in said[1 - winner :: 2]:
            assert line.startswith(f"VersionConflict {bucket[0]}/{number} is "), line
            assert f"with another recipe: seed is {winner}, asked for {1 - winner}; nothing was overwritten" in line
