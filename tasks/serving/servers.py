"""Running model servers: which versions they serve, and what a version answers.

Every call has a deadline, and whatever goes wrong becomes one line that names the server.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tasks.errors import InvalidParameter
from tasks.versions.golden import Rows

CALL_SECONDS = 5.0
AVAILABLE = "AVAILABLE"
END = "END"
NO_RELOAD = "a server takes the config file over gRPC alone: give it as host:port"
ALLOWED = "host:port for gRPC, or http://host:port for REST; several are separated by commas"


@dataclass(frozen=True)
class VersionStatus:
    """What a server says about one version: UNKNOWN, START, LOADING, AVAILABLE, UNLOADING or END, and its error."""

    version: int
    state: str
    error: str

    @property
    def has_failed(self) -> bool:
        """Whether the server gave it up; one that was unloaded has ended without an error."""
        return self.state == END and bool(self.error)

    def __str__(self) -> str:
        return f"{self.version} {self.state}" + (f" ({self.error})" if self.error else "")


class ModelServer(Protocol):
    """A running model server; its methods raise RolloutFailed if it gives no answer, or not a valid one."""

    @property
    def address(self) -> str:
        """What it was found by."""

    def statuses(self, model: str) -> list[VersionStatus]:
        """What it says about each version of a model; nothing for a model that it does not know."""

    def ask(self, model: str, version: int, kind: str, request: Mapping[str, Any]) -> Rows:
        """The scores with which a version answers a golden request (`kind` is `predict` or `classify`)."""

    def reload(self, config: bytes, seconds: float) -> None:
        """Let it follow a ModelServerConfig now; it answers when it has loaded what is new to it, or refuses."""


def find_servers(addresses: Sequence[str], *, reload: bool = False) -> list[ModelServer]:
    """One for each address; raises InvalidParameter if one is neither a gRPC nor a REST address.

    With `reload`, each must be one that takes a config file.
    """
    for address in addresses if reload else ():
        if address.startswith("http"):
            raise InvalidParameter(f"server {address!r}: with --reload {NO_RELOAD}")
    if reload and not addresses:
        raise InvalidParameter("reload: no --server is given that the config file could be sent to")
    return [_find_server(address) for address in addresses]


def _find_server(address: str) -> ModelServer:
    from tasks.serving.grpc_server import GrpcServer
    from tasks.serving.rest_server import RestServer

    name = r"(?!-)[\w-]{1,63}(?:\.[\w-]{1,63})*\.?"
    found = re.fullmatch(rf"(https?://)?(?:{name}|\[([0-9a-fA-F:.]+)\])(?::([0-9]{{1,5}}))?(/?)", address)
    if found and int(found[3] or 0) < 1 << 16 and (found[2] is None or _is_ipv6(found[2])):
        if found[1]:
            return RestServer(address.rstrip("/"))
        if found[3] and not found[4]:
            return GrpcServer(address)
    raise InvalidParameter(f"server {address!r}: allowed is {ALLOWED}")


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
