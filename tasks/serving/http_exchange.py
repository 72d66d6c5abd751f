"""One HTTP request and its answer within a stated time, whatever the other side does."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from urllib.parse import urlparse

LARGEST_ANSWER = 1 << 24  # bytes


def exchange(address: str, method: str, path: str, body: bytes | None, *, seconds: float) -> tuple[int, bytes]:
    """Send a request to `http(s)://host:port`, past any proxy; returns the status and the answer's body.

    Raises:
        OSError, http.client.HTTPException: there is no connection, or no answer that is one, within `seconds`.
    """
    url = urlparse(address)
    connect = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = connect(url.netloc)
    line = socket.create_connection((connection.host, connection.port), seconds)
    with _hung_up_after(seconds, line), contextlib.closing(connection):
        connection.sock = line
        if url.scheme == "https":
            connection.sock = ssl.create_default_context().wrap_socket(line, server_hostname=connection.host)
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read(LARGEST_ANSWER)


@contextlib.contextmanager
def _hung_up_after(seconds: float, line: socket.socket) -> Iterator[None]:
    """Give the block that long with a connection, however steadily bytes drip in; raises TimeoutError if it ends late.

    A socket's own timeout begins anew with every byte. So the connection is shut down under whoever reads it, through
    a descriptor that TLS does not take over.
    """
    is_over = threading.Event()
    with line.dup() as handle:

        def hang_up() -> None:
            is_over.set()
            with contextlib.suppress(OSError):  # the server may have been faster
                handle.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(seconds, hang_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            if is_over.is_set():
                raise TimeoutError("timed out")
