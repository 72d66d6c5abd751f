"""Asking a server over REST, whatever is at the other end."""

import contextlib
import http.server
import itertools
import json
import socket
import threading
import time
from typing import ClassVar

import pytest

from tasks.errors import RolloutFailed
from tasks.serving import servers as model_servers
from tasks.serving.rest_server import RestServer


def answering(answer):
    """A handler that gives the same answer to everybody, and keeps what it was sent."""

    class Handler(http.server.BaseHTTPRequestHandler):
        received: ClassVar = []

        def __init__(self, *arguments, **_):
            super().__init__(*arguments)

        def log_message(self, *_):
            pass

        def do_GET(self):
            self.respond()

        def do_POST(self):
            self.received.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.respond()

        def respond(self):
            code, headers, content = answer
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(content)

    return Handler


def test_a_request_is_sent_as_it_was_kept(http_server):
    """The body is what `curl -d @file` would send, and goes to the version that is asked for."""
    handler = answering((200, {}, b'{"predictions": [[0.25, 0.75]]}'))
    request = {"signature_name": "predict_images", "instances": [[0.1, 1.0]]}
    rows = RestServer(http_server(".", handler).rstrip("/")).ask("mnist", 3, "predict", request)
    assert [{"0": 0.25, "1": 0.75}] == rows
    assert [("/v1/models/mnist/versions/3:predict", request)] == handler.received


def test_an_answer_without_end_is_not_read_to_its_end(http_server):
    """What comes after 16 MiB is not waited for; it is no answer."""
    server = RestServer(http_server(".", answering((200, {}, b" " * (1 << 25)))).rstrip("/"))
    with pytest.raises(RolloutFailed, match="answers what is no model status: HTTP status 200"):
        server.statuses("mnist")


def test_a_server_that_sends_elsewhere_is_not_followed(http_server):
    """A redirection is an answer, and not the one that was asked for."""
    server = RestServer(http_server(".", answering((302, {"Location": "http://127.0.0.1:1/"}, b"moved"))).rstrip("/"))
    with pytest.raises(RolloutFailed, match="HTTP status 302: moved"):
        server.statuses("mnist")


def test_an_answer_of_another_kind_is_told(http_server):
    """What the server says of it, in one line."""
    server = RestServer(http_server(".", answering((400, {}, b'{"error": "no\\nsuch thing"}'))).rstrip("/"))
    with pytest.raises(RolloutFailed, match="answers what is no answer to predict: HTTP status 400: no such thing"):
        server.ask("mnist", 3, "predict", {})


def test_a_port_that_nobody_listens_on_is_told():
    """The reason alone, without what wraps it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(RolloutFailed, match=r"^http://127\.0\.0\.1:\d+: does not answer: .*Connection refused$"):
        RestServer(f"http://127.0.0.1:{port}").statuses("mnist")


@pytest.mark.parametrize(
    ("scheme", "say", "drops"),
    [
        ("http", b"HTTP/1.1 200 OK\r\n", b"X"),
        ("http", b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b" "),
        ("http", b"HTTP/1.1 200 OK\r\n\r\n", b" "),
        ("https", b"", b"\x16\x03\x03\x3f\xff"),
    ],
)
def test_a_server_that_drips_is_given_up(monkeypatch, scheme, say, drops):
    """A byte now and then keeps no call open, be it of the header, of a body, of one without an end or of TLS."""
    monkeypatch.setattr(model_servers, "CALL_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dripping = threading.Thread(target=drip, args=(listener, say, drops), daemon=True)
        dripping.start()
        began = time.monotonic()
        with pytest.raises(RolloutFailed, match="does not answer: timed out"):
            RestServer(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}").statuses("mnist")
        assert time.monotonic() - began < 2


def drip(listener, say, drops):
    """Take one connection, say something, and then one of the drops every 0.1 s until the test is over."""
    connection, _ = listener.accept()
    with connection, contextlib.suppress(OSError):
        connection.sendall(say)
        for byte in itertools.cycle(drops):
            connection.sendall(bytes([byte]))
            time.sleep(0.1)
