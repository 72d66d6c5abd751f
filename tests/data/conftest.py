"""Fixtures: a web server that answers as it is told, and a dataset of a few bytes."""

import contextlib
import functools
import hashlib
import http.server
import threading
import time
from pathlib import Path

import pytest

from tasks.data import download as archives
from tasks.data.dataset import Archive, Dataset

PARTS = ("train-images", "train-labels", "test-images", "test-labels")
CONTENTS = {name: f"the bytes of {name} ".encode() * 1000 for name in PARTS}
DATASET = Dataset(
    "four",
    *(Archive(name, hashlib.sha256(content).hexdigest()) for name, content in CONTENTS.items()),
    training_images=3,
    validation_images=1,
    mirrors=("http://127.0.0.1:9/",),
)


class ScriptedHandler(http.server.BaseHTTPRequestHandler):
    """Gives the answers of a list in turn, the last of them again and again, and notes what was asked for."""

    def __init__(self, *arguments, answers, requests):
        self.answers, self.requests = answers, requests
        super().__init__(*arguments)

    def do_GET(self):
        """Answer with the next of the list."""
        answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
        name = Path(self.path).name
        self.requests.append(name)
        with contextlib.suppress(ConnectionError):  # who asked has gone
            answer(self, CONTENTS[name])

    def log_message(self, *arguments):
        """Write nothing: a test may have filled the disk."""

    def reply(self, content, *, status=200, length=None):
        """Send a whole answer; `length` is what it claims to hold, 0 for no claim."""
        self.send_response(status)
        if length != 0:
            self.send_header("Content-Length", str(length or len(content)))
        self.end_headers()
        self.wfile.write(content)


def send_it(handler, content):
    handler.reply(content)


def send_it_without_its_length(handler, content):
    handler.reply(content, length=0)


def cut_it_short(handler, content):
    handler.reply(content[:-5], length=len(content))


def send_other_bytes(handler, content):
    handler.reply(content[:-1] + b"?")


def send_a_page(handler, content):  # noqa: ARG001 - a page whatever is asked for
    handler.reply(b"\n<!DOCTYPE html><html><body>Please log in to this network</body></html>")


def not_found(handler, content):  # noqa: ARG001 - as above
    handler.reply(b"nothing here", status=404)


def server_error(handler, content):  # noqa: ARG001 - as above
    handler.reply(b"try again", status=500)


def keep_waiting(handler, content):
    time.sleep(1.5)
    handler.reply(content)


@pytest.fixture
def scripted_mirror():
    """`scripted_mirror(answer, ...)` gives the address of a mirror, and the list of what it was asked for."""
    servers = []

    def start(*answers):
        requests = []
        handler = functools.partial(ScriptedHandler, answers=answers, requests=requests)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/", requests

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def folder_mirror(tmp_path):
    """A folder with the four archives."""
    folder = tmp_path / "a mirror"
    folder.mkdir()
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def at_once(monkeypatch):
    """No second attempt, for tests whose outcome more attempts would not change but for the seconds they wait."""
    monkeypatch.setattr(archives, "RETRIES", 0)
