"""Ask running servers, over gRPC or REST: which versions they serve, and what a version answers.

Every call has a deadline, and whatever goes wrong becomes one line that names the server. The stubs of
tensorflow-serving-api import TensorFlow, so they are imported where a call is made.
"""

from __future__ import annotations

import http.client
import json
import logging
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from tasks.errors import InvalidParameter, RolloutFailed
from tasks.serving.http_exchange import exchange

CALL_SECONDS = 5.0
AVAILABLE = "AVAILABLE"
END = "END"
NOT_FOUND = 404
REST_GOLDEN = "assets.extra/golden"

ALLOWED = "host:port for gRPC, or http://host:port for REST; several are separated by commas"


@dataclass(frozen=True)
class VersionStatus:
    """What a server says about one version: UNKNOWN, START, LOADING, AVAILABLE, UNLOADING or END, and its error."""

    version: int
    state: str
    error: str

    def __str__(self) -> str:
        return f"{self.version} {self.state}" + (f" ({self.error})" if self.error else "")


class ModelServer(Protocol):
    """A running model server."""

    @property
    def address(self) -> str:
        """What it was found by."""

    def statuses(self, model: str) -> list[VersionStatus]:
        """What it says about each version of a model; nothing for a model that it does not know.

        Raises:
            RolloutFailed: it gave no answer, or one that is none.
        """

    def replay(self, model: str, version: int, directory: Path) -> Iterator[tuple[str, float]]:
        """Send the golden requests that lie in `directory`: the kind of each, and the largest difference of a score.

        Raises:
            RolloutFailed: it gave no answer, or one that is none.
        """


def find_servers(addresses: Sequence[str]) -> list[ModelServer]:
    """One for each address.

    Raises:
        InvalidParameter: an address is none.
    """
    return [_find_server(address) for address in addresses]


def _find_server(address: str) -> ModelServer:
    found = re.fullmatch(r"(https?://)?(?:[\w.-]+|\[[0-9a-fA-F:.]+\])(?::([0-9]{1,5}))?(/?)", address)
    if found and int(found[2] or 0) < 1 << 16:
        if found[1]:
            return RestServer(address.rstrip("/"))
        if found[2] and not found[3]:
            return GrpcServer(address)
    raise InvalidParameter(f"server {address!r}: allowed is {ALLOWED}")


@dataclass(frozen=True)
class GrpcServer:
    """A model server's gRPC port (`--port`)."""

    address: str

    def statuses(self, model: str) -> list[VersionStatus]:
        """See ModelServer."""
        import grpc
        from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        try:
            response = self._call(model_service_pb2_grpc.ModelServiceStub, "GetModelStatus", request)
        except RolloutFailed as error:
            if _code(error) == grpc.StatusCode.NOT_FOUND:
                return []
            raise
        name = get_model_status_pb2.ModelVersionStatus.State.Name
        try:
            return [
                VersionStatus(entry.version, name(entry.state), " ".join(entry.status.error_message.split()))
                for entry in response.model_version_status
            ]
        except ValueError as error:
            raise RolloutFailed(f"{self.address}: answers what is no model status: {error}") from error

    def replay(self, model: str, version: int, directory: Path) -> Iterator[tuple[str, float]]:
        """See ModelServer."""
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        from tasks.savedmodel.golden import read_answers, response_rows
        from tasks.versions.golden import score_difference

        for log in read_answers(directory):
            kind = log.WhichOneof("log_type")
            request, method = getattr(log, kind).request, kind.removesuffix("_log").capitalize()
            request.model_spec.name = model
            request.model_spec.version.value = version
            response = self._call(prediction_service_pb2_grpc.PredictionServiceStub, method, request)
            try:
                yield method, score_difference(response_rows(getattr(log, kind).response), response_rows(response))
            except (ValueError, TypeError) as error:
                raise RolloutFailed(f"{self.address}: {method} answers what is no tensor: {error}") from error

    def _call(self, stub: Any, method: str, request: Any) -> Any:
        import grpc

        logging.getLogger("grpc").setLevel(logging.CRITICAL)  # an answer that is none is told below
        straight = [("grpc.enable_http_proxy", 0)]  # as the REST calls go, whatever http_proxy says
        with grpc.insecure_channel(self.address, straight) as channel:
            try:
                return getattr(stub(channel), method)(request, timeout=CALL_SECONDS)
            except grpc.RpcError as error:
                details = " ".join((error.details() or "").split())
                raise RolloutFailed(f"{self.address}: {method} fails: {error.code().name}: {details}") from error


@dataclass(frozen=True)
class RestServer:
    """A model server's REST port (`--rest_api_port`); the address is its URL."""

    address: str

    def statuses(self, model: str) -> list[VersionStatus]:
        """See ModelServer."""
        code, answer = self._ask("GET", f"/v1/models/{quote(model)}")
        if code == NOT_FOUND and isinstance(answer, dict) and "error" in answer:
            return []
        try:
            return [
                VersionStatus(
                    int(entry["version"]), str(entry["state"]), " ".join(entry["status"]["error_message"].split())
                )
                for entry in answer["model_version_status"]
            ]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RolloutFailed(f"{self.address}: {self._what(code, answer, 'model status')}") from error

    def replay(self, model: str, version: int, directory: Path) -> Iterator[tuple[str, float]]:
        """See ModelServer."""
        for path in sorted(directory.glob(f"{REST_GOLDEN}/*.expected.json")):
            kind = path.name.split(".")[0]
            request, expected = path.with_name(f"{kind}.json"), json.loads(path.read_bytes())
            where = f"/v1/models/{quote(model)}/versions/{version}:{kind}"
            code, answer = self._ask("POST", where, request.read_bytes())
            try:
                yield kind, _largest_difference(expected, answer)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise RolloutFailed(f"{self.address}: {self._what(code, answer, 'answer to ' + kind)}") from error

    def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
        try:
            status, content = exchange(self.address, method, path, body, seconds=CALL_SECONDS)
        except (OSError, http.client.HTTPException) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise RolloutFailed(f"{self.address}: does not answer: {reason}") from error
        try:
            return status, json.loads(content)
        except ValueError:
            return status, content[:100].decode(errors="replace")

    @staticmethod
    def _what(code: int, answer: Any, wanted: str) -> str:
        told = answer.get("error", answer) if isinstance(answer, dict) else answer
        return f"answers what is no {wanted}: HTTP status {code}: {' '.join(str(told).split())[:300]}"


def _code(error: RolloutFailed) -> Any:
    cause: Any = error.__cause__
    return cause.code() if cause is not None and hasattr(cause, "code") else None


def _largest_difference(expected: Any, answer: Any) -> float:
    """Between the scores of two REST answers, predictions by class or classifications by label; infinite in kind."""
    if "predictions" in expected:
        pairs = [(dict(enumerate(row)) for row in rows) for rows in (expected["predictions"], answer["predictions"])]
    else:
        pairs = [(dict(row) for row in rows) for rows in (expected["results"], answer["results"])]
    largest = 0.0
    for wanted, found in zip(*pairs, strict=True):
        if set(wanted) != set(found):
            return math.inf
        largest = max([largest, *(abs(wanted[key] - float(found[key])) for key in wanted)])
    return largest
