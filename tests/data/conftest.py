"""Fixtures: a web server that answers as it is told, and a dataset of a few bytes."""

import contextlib
import functools
import gzip
import hashlib
import http.server
import ssl
import threading
import time
from pathlib import Path

import pytest

from tasks.data import download as archives
from tasks.data.dataset import Archive, Dataset

PARTS = ("train-images", "train-labels", "test-images", "test-labels")
CONTENTS = {name: f"the bytes of {name} ".encode() * 1000 for name in PARTS}
BOMB = gzip.compress(bytes(20_000_000))  # 19 kB
DATASET = Dataset(
    "four",
    *(Archive(name, hashlib.sha256(content).hexdigest(), len(content)) for name, content in CONTENTS.items()),
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


def drip_a_header(handler, content):  # noqa: ARG001 - it never comes to the content
    drip(handler, b"HTTP/1.0 200 OK\r\n" + b"X-Padding: 1\r\n" * 50)


def drip_a_body(handler, content):
    handler.reply(content[:5], length=len(content))
    drip(handler, content[5:])


def drip(handler, content):
    """Send a byte every 0.05 s, for as long as somebody takes it."""
    for byte in content:
        handler.wfile.write(bytes([byte]))
        time.sleep(0.05)


def never_end(handler, content):
    handler.reply(content, length=0)
    with contextlib.suppress(ConnectionError):
        while True:
            handler.wfile.write(content)
            handler.server.sent += len(content)


def claim_too_much(handler, content):
    handler.reply(content + b"more")


def send_a_bomb(handler, content):  # noqa: ARG001 - another one is sent
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.end_headers()
    handler.wfile.write(BOMB)


def send_it_packed(handler, content):
    """As a web server that calls each .gz file an encoding; what it sends is what lies there."""
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.end_headers()
    handler.wfile.write(content)


def redirect_to(target):
    def redirect(handler, content):  # noqa: ARG001 - whatever is asked for
        handler.send_response(302)
        handler.send_header("Location", target or handler.path)
        handler.end_headers()
        never_end(handler, b"<html>moved</html>" * 1000)

    return redirect


def keep_waiting(handler, content):
    time.sleep(1.5)
    handler.reply(content)


@pytest.fixture
def scripted_mirror():
    """`scripted_mirror(answer, ...)` gives the address of a mirror, and the list of what it was asked for.

    With `certificate`, a file with that and its key, it speaks HTTPS.
    """
    servers = []

    def start(*answers, certificate=None):
        requests = []
        handler = functools.partial(ScriptedHandler, answers=answers, requests=requests)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.sent = 0
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}/", requests

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
