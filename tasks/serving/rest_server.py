"""A model server's REST port (`--rest_api_port`)."""

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tasks.errors import RolloutFailed
from tasks.serving import servers
from tasks.serving.servers import VersionStatus
from tasks.storage.json_text import parse_json
from tasks.versions.golden import Rows, rows_of

NOT_FOUND = 404
LARGEST_ANSWER = 1 << 24  # bytes


@dataclass(frozen=True)
class RestServer:
    """A ModelServer at `http://host:port` or `https://host:port`, asked past any proxy."""

    address: str

    def statuses(self, model: str) -> list[VersionStatus]:
        code, answer = self._exchange("GET", f"/v1/models/{quote(model)}")
        if code == NOT_FOUND and isinstance(answer, dict) and "error" in answer:
            return []
        try:
            told = [(entry, entry["status"]["error_message"].split()) for entry in answer["model_version_status"]]
            return [VersionStatus(int(entry["version"]), str(entry["state"]), " ".join(words)) for entry, words in told]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RolloutFailed(f"{self.address}: {_describe(code, answer, 'model status')}") from error

    def ask(self, model: str, version: int, kind: str, request: Mapping[str, Any]) -> Rows:
        where = f"/v1/models/{quote(model)}/versions/{version}:{kind}"
        code, answer = self._exchange("POST", where, json.dumps(request))
        try:
            return rows_of(answer)
        except ValueError as error:
            raise RolloutFailed(f"{self.address}: {_describe(code, answer, 'answer to ' + kind)}") from error

    def reload(self, config: bytes, seconds: float) -> None:  # noqa: ARG002 - as every server
        raise RolloutFailed(f"{self.address}: {servers.NO_RELOAD}")

    def _exchange(self, method: str, path: str, body: str | None = None) -> tuple[int, Any]:
        """The status and the JSON of an answer (the beginning of its text, if it is not JSON)."""
        import requests

        answers: list[tuple[int, bytes] | Exception] = []
        given = {"data": body, "timeout": servers.CALL_SECONDS, "stream": True, "allow_redirects": False}

        def ask() -> None:
            try:
                with requests.Session() as session:
                    session.trust_env = False  # past any proxy
                    session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
                    session.get_redirect_target = lambda _: None  # or a redirection's body is read without a cap
                    with session.request(method, self.address + path, **given) as response:
                        answers.append((response.status_code, response.raw.read(LARGEST_ANSWER, decode_content=True)))
            except Exception as error:  # noqa: BLE001 - told below
                answers.append(error)

        # in a thread, as a timeout of requests begins anew with every byte that drips in
        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(servers.CALL_SECONDS)
        answer = answers[0] if answers else TimeoutError("timed out")
        if isinstance(answer, Exception):
            raise RolloutFailed(f"{self.address}: does not answer: {_reason(answer)}") from answer
        status, content = answer
        try:
            return status, parse_json(content, finite=False)  # a server writes NaN and Infinity as they are
        except ValueError:
            return status, content[:100].decode(errors="replace")


def _reason(error: Exception) -> str:
    """The innermost reason of an error of requests, which wraps up to three others, in one line."""
    import requests

    if isinstance(error, requests.Timeout | TimeoutError):
        return "timed out"
    cause: Any = error.args[0] if error.args else error
    return " ".join(str(getattr(cause, "reason", cause)).split()) or type(error).__name__


def _describe(code: int, answer: Any, wanted: str) -> str:
    told = answer.get("error", answer) if isinstance(answer, dict) else answer
    return f"answers what is no {wanted}: HTTP status {code}: {' '.join(str(told).split())[:300]}"
