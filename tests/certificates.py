"""A server over TLS whose certificate nobody has vouched for, on loopback."""

import contextlib
import http.server
import ssl
import subprocess
import threading
from pathlib import Path


def make_certificate(directory: Path) -> Path:
    """A certificate for 127.0.0.1 that signs itself, with its key in the same file."""
    path = directory / "self-signed.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject]
    subprocess.run([*make, "-keyout", path, "-out", directory / "certificate"], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + (directory / "certificate").read_bytes())
    return path


@contextlib.contextmanager
def serving_over_tls(certificate: Path, handler=http.server.SimpleHTTPRequestHandler):
    """Serve, and give the address; `requests` of the server has the paths that were asked for."""

    class Server(http.server.ThreadingHTTPServer):
        requests: list[str] = []  # noqa: RUF012 - of this class, of which there is one server

        def finish_request(self, request, client_address):
            with contextlib.suppress(OSError):  # who asked does not trust it, and has gone
                super().finish_request(request, client_address)

    class Handler(handler):
        def log_message(self, *_):
            """Write nothing."""

        def parse_request(self):
            found = super().parse_request()
            self.server.requests.append(self.path if found else "")
            return found

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}", server.requests
    finally:
        server.shutdown()
        server.server_close()
