"""An S3 on loopback: `python -m tests.s3_server PORT`; moto answers, one request at a time.

One at a time, because moto looks whether a key is there and creates it in two steps, and another request could come in
between. What a store or the way to it does wrong is asked for at `/-/fault`, requests are counted at `/-/requests`, and
a thousand versions are put there without a thousand requests at `/-/copy`.
"""

import json
import os
import socket
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import make_server

from tasks.versions.manifest import MANIFEST, parse_manifest, write_manifest

SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)
REFUSED = b"<?xml version='1.0'?><Error><Code>%s</Code><Message>refused by this test</Message></Error>"


class Server:
    """The WSGI application; `fault` is what happens to the next `times` requests of that method."""

    def __init__(self) -> None:
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.lock, self.requests, self.fault = threading.Lock(), [], {}

    def __call__(self, environ, start_response):
        path, query = (
            environ["PATH_INFO"],
            {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()},
        )
        with self.lock:
            if path.startswith("/-/"):
                return self.control(path, query, start_response)
            self.requests.append(environ["REQUEST_METHOD"])
            fault = self.fault.get("kind") if self.is_due(environ) else None
            if fault in {None, "cut", "tamper", "met itself"}:
                answer = self.answer(environ, start_response, fault)
        if fault == "hang":
            time.sleep(60)
        if fault == "drop":
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return [b""]
        if fault == "slow down":
            start_response("503 Slow Down", [("Content-Type", "application/xml")])
            return [SLOW_DOWN]
        if fault in {"InvalidAccessKeyId", "AccessDenied", "ConditionalRequestConflict"}:
            status = "409 Conflict" if fault == "ConditionalRequestConflict" else "403 Forbidden"
            start_response(status, [("Content-Type", "application/xml")])
            return [REFUSED % fault.encode()]
        return answer

    def is_due(self, environ) -> bool:
        """Whether the fault that was asked for befalls this request."""
        if self.fault.get("method", environ["REQUEST_METHOD"]) != environ["REQUEST_METHOD"] or not self.fault.get(
            "times"
        ):
            return False
        if self.fault.get("key", "") not in environ["PATH_INFO"]:
            return False
        self.fault["times"] -= 1
        return True

    def answer(self, environ, start_response, fault):
        """What moto says, whole, as the lock does not outlast this; with a fault, only its first half."""
        said = {}
        content = b"".join(
            self.moto(environ, lambda status, headers, _=None: said.update(status=status, headers=headers))
        )
        if fault == "met itself":  # it was done, and the answer was lost
            start_response("503 Slow Down", [("Content-Type", "application/xml")])
            return [SLOW_DOWN]
        if fault == "tamper":
            content = content[:-1] + bytes([content[-1] ^ 1])
        start_response(said["status"], said["headers"])
        if fault == "cut":
            return self.cut(environ, content[: len(content) // 2])
        return [content]

    def cut(self, environ, content):
        """Half of an answer, and then the connection breaks."""
        yield content
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)

    def control(self, path, query, start_response):
        """What tests ask of the server itself."""
        if path == "/-/fault":
            self.fault = {**query, "times": int(query.get("times", 1))}
        elif path == "/-/copy":
            copy(query["bucket"], query["version"], int(query["first"]), int(query["last"]))
        counted, self.requests = (self.requests, []) if path == "/-/requests" else ([], self.requests)
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(counted).encode()]


def copy(bucket: str, version: str, first: int, last: int) -> None:
    """Put a version, given with the prefix, under other numbers too, each with a manifest that says so."""
    backend, (prefix, _, _) = s3_backends["123456789012"]["aws"], version.rpartition("/")
    keys = {name: key.value for name, key in backend.buckets[bucket].keys.items() if name.startswith(f"{version}/")}
    for number in range(first, last + 1):
        for name, content in keys.items():
            told = renumber(content, number) if name.endswith(MANIFEST.name) else content
            backend.put_object(bucket, f"{prefix}/{number}{name.removeprefix(version)}", told)


def renumber(content: bytes, number: int) -> bytes:
    """A manifest of another version."""
    manifest = parse_manifest(content)
    assert manifest is not None
    with tempfile.TemporaryDirectory() as folder:
        write_manifest(Path(folder), replace(manifest, model_version=number))
        return Path(folder, MANIFEST).read_bytes()


if __name__ == "__main__":
    os.environ["MOTO_ALLOW_NONEXISTENT_REGION"] = "true"
    server = make_server("127.0.0.1", int(sys.argv[1]), Server(), threaded=True)
    sys.stdout.write("answers\n")
    sys.stdout.flush()
    server.serve_forever()
