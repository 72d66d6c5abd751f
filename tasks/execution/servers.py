"""A model server that is asked by an engine: the messages of gRPC bring TensorFlow along."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.execution import calls
from tasks.serving.servers import ModelServer, VersionStatus
from tasks.versions.golden import Rows


@dataclass(frozen=True)
class ServerInEngine:
    """What the server gives and raises, asked with that many threads, which an engine is started for."""

    server: ModelServer
    threads: int

    @property
    def address(self) -> str:
        return self.server.address

    def statuses(self, model: str) -> list[VersionStatus]:
        return calls.run(self.server.statuses, model, threads=self.threads)

    def ask(self, model: str, version: int, kind: str, request: Mapping[str, Any]) -> Rows:
        return calls.run(self.server.ask, model, version, kind, request, threads=self.threads)

    def reload(self, config: bytes, seconds: float) -> None:
        calls.run(self.server.reload, config, seconds, threads=self.threads)
