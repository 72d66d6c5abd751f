"""Who may read what is written is the umask's to say, for every file and folder that a job leaves."""

from tests import quiet_tensorflow  # isort: skip - before anything else imports TensorFlow

import os

import pytest

from tests.keys import make_keys

__all__ = ["quiet_tensorflow"]

QUICK = "[recipe]\ndataset = small\ntraining_iteration = 20\n"
COMMANDS = [
    ["SignVersions", "--versions", "1,2", "--private-key", "keys/release.key"],
    [
        "PromoteVersion",
        "--label",
        "stable",
        "--version",
        "1",
        "--wait-seconds",
        "0",
        "--public-key",
        "keys/release.pub",
    ],
    ["PushVersions", "--bucket", "bucket", "--with-config"],
    ["PullVersions", "--bucket", "bucket", "--base-path", "served"],
    ["QuarantineVersion", "--version", "2"],
    ["RetireVersions", "--keep", "1", "--apply"],
    ["CompareVersions", "--output", "work/comparison.html"],
]


@pytest.fixture
def set_umask():
    """Set this process's umask, until the test ends."""
    before = os.umask(0)
    os.umask(before)
    yield os.umask
    os.umask(before)


@pytest.mark.long
@pytest.mark.parametrize("umask", [0o077, 0o022])
def test_modes_are_what_the_umask_leaves(run_luigi, run_here, set_umask, umask):
    """Versions, signatures, config, logs, the page, the bucket, the whole work directory: 666 and 777 without it."""
    directory = run_luigi.directory
    for name in ("keys", "bucket"):
        (directory / name).mkdir()
    make_keys(directory / "keys")
    run_here.configure(QUICK)
    before = set(directory.rglob("*"))
    set_umask(umask)
    run_luigi("ExportAllVersions", "--versions", "1,2", check=0)
    for command in COMMANDS:
        run_here(*command, check=0)
    made = {path.relative_to(directory).as_posix(): path for path in set(directory.rglob("*")) - before}
    modes = {name: oct(path.stat().st_mode & 0o777) for name, path in made.items()}
    assert {name: oct((0o777 if path.is_dir() else 0o666) & ~umask) for name, path in made.items()} == modes
    assert {"models/mnist/1.sig", "models/models.config", "models/releases.jsonl", "served/1"} <= set(made)
    assert {"bucket/1.sig", "bucket/1/saved_model.pb", "work/records.jsonl", "work/comparison.html"} <= set(made)
