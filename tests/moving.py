"""Pushes and pulls in processes of their own, which fork from one that has imported all they need."""

import multiprocessing
import os
from pathlib import Path

from tasks.errors import PipelineError
from tasks.storage import s3
from tasks.storage.object_store import open_store
from tasks.versions.bucket import look_up
from tasks.versions.pull import pull_version
from tasks.versions.push import push_version
from tests.buckets import CREDENTIALS

assert s3.boto3  # is imported before the forks
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.moving"])


class Moving:
    """A process that is about to push or pull a version."""

    def __init__(self, what: str, bucket: tuple[str, str], base_path: Path, number: int) -> None:
        self.connection, theirs = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=_move, args=(theirs, what, bucket, base_path, number))
        self.process.start()
        theirs.close()
        assert self.connection.poll(60)
        self.connection.recv()

    def go(self) -> None:
        """Let it begin."""
        self.connection.send("go")

    def end(self, *, kill: bool = False) -> str:
        """What it said: `done`, an error, or nothing if it was killed before."""
        if kill:
            self.process.kill()
        try:
            assert self.connection.poll(120)
            return self.connection.recv()
        except (EOFError, ConnectionError):
            return ""
        finally:
            self.process.join(60)
            self.connection.close()


def _move(connection, what: str, bucket: tuple[str, str], base_path: Path, number: int) -> None:
    os.environ.update(CREDENTIALS)
    store = open_store(*bucket)
    store.head("x")  # makes the client
    connection.send("is about to")
    connection.recv()
    try:
        if what == "push":
            push_version(store, base_path / str(number), number)
        else:
            pull_version(look_up(store, number), base_path)
    except PipelineError as error:
        connection.send(f"{type(error).__name__} {error}")
    else:
        connection.send("done")
