"""A model server's REST port: answers that never end."""

import contextlib
import itertools
import socket
import threading
import time

import pytest

from tasks.errors import RolloutFailed
from tasks.serving import servers as model_servers
from tasks.serving.rest_server import RestServer


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
