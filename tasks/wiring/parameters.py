"""Parameters that Luigi does not have: sets of versions, folders, checked values, and keys of a recipe."""

import os
import re
import socket
from collections.abc import Callable
from typing import Any

import luigi
from luigi.configuration import get_config

from tasks.errors import InvalidParameter
from tasks.recipes.checks import Check, Value
from tasks.recipes.recipe import ActsOn, Key
from tasks.storage.object_store import absolute_folder
from tasks.versions.numbers import format_versions, parse_version, parse_versions

SETTINGS = {"distribution": ("bucket", "endpoint_url"), "release": ("public_key",)}  # section of luigi.cfg -> its keys


class VersionParameter(luigi.Parameter):
    """One version number: 1 to 2^63 - 1, the range of TensorFlow Serving's int64 without zero."""

    def normalize(self, x: Any) -> int:
        return parse_version(str(x))


class VersionsParameter(luigi.Parameter):
    """A set of versions: `1,2,3`, `1-10`, `1-3,7`; sorted, each once, 10,000 at most."""

    def serialize(self, x: tuple[int, ...]) -> str:
        return format_versions(x)

    def normalize(self, x: Any) -> tuple[int, ...]:
        """Accept a text, a number or any series of numbers; an empty series, the default, means not given."""
        if isinstance(x, str | int):
            return parse_versions(str(x))
        given = [str(version) for version in x]
        return parse_versions(",".join(given)) if given else ()


class FolderParameter(luigi.Parameter):
    """A folder as an absolute path: two projects on one scheduler then never share a task by accident."""

    def normalize(self, x: Any) -> str:
        """Without `~`, `..` or a slash at its end; nothing stays nothing."""
        folder = os.fspath(x)
        return absolute_folder(self._attribute_name, folder) if folder else ""


class BasePathParameter(FolderParameter):
    """A folder of versions: TensorFlow and its server read there."""

    def normalize(self, x: Any) -> str:
        return _check_no_pattern(self._attribute_name, super().normalize(x))


class ListOfStringsParameter(luigi.Parameter):
    """Texts separated by commas; empty ones are dropped."""

    def parse(self, x: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in x.split(",") if part.strip())

    def serialize(self, x: tuple[str, ...]) -> str:
        return ",".join(x)


class LabelParameter(luigi.Parameter):
    """A version label, as the server allows it."""

    def normalize(self, x: str) -> str:
        if not re.fullmatch(r"[a-zA-Z0-9_]+", x):
            raise InvalidParameter(f"label {x!r}: allowed are letters, digits and underscores")
        return x


class ServerPathParameter(luigi.Parameter):
    """A base path as a server sees it: absolute, or an address such as gs://bucket/mnist; nothing means not given."""

    def normalize(self, x: str) -> str:
        if x and not re.match(r"/|[a-zA-Z][a-zA-Z0-9+.-]*://", x):
            raise InvalidParameter(f"server_base_path {x!r}: allowed is an absolute path, or an address like gs://...")
        return _check_no_pattern("server_base_path", x.rstrip("/"))


class FlagParameter(luigi.BoolParameter):
    """Yes or no: `--apply`, `--apply true` or `--apply false`, as the scheduler's page writes it. No by default."""

    parsing = luigi.BoolParameter.EXPLICIT_PARSING

    def parse(self, x: Any) -> bool:
        try:
            return super().parse(x)
        except ValueError:
            name = self._attribute_name
            raise InvalidParameter(f"{name} = {x!r}: allowed are true and false") from None

    def normalize(self, x: Any) -> bool:
        return self.parse(x)


class DistributionParameter(luigi.Parameter):
    """A setting of `[distribution]` in luigi.cfg, unless it is given; given as an empty text, there is none.

    With `default=""`, luigi.cfg does not count.
    """

    section = "distribution"

    def __init__(self, description: str, read: Callable[[str], str] = str, default: str | None = None) -> None:
        told = description if default is not None else f"{description}; default: as in [{self.section}]"
        super().__init__(default=default, description=told)
        self._read = read

    def serialize(self, x: str | None) -> str:
        return x or ""

    def normalize(self, x: str | None) -> str:
        text = settings(self.section).get(self._attribute_name, "") if x is None else x
        return text and self._read(text)


class PublicKeyParameter(DistributionParameter):
    """The file with the public keys, one of which has to have signed a version."""

    section = "release"

    def __init__(self, description: str) -> None:
        super().__init__(description, FolderParameter().normalize)


class HostParameter(luigi.Parameter):
    """Whose disk a task writes to: hosts that share a scheduler and a bucket share no disk, and so no task ids."""

    def __init__(self) -> None:
        super().__init__(
            default=None, description="whose disk; default: this machine's name if [distribution] has a bucket"
        )

    def serialize(self, x: str | None) -> str:
        return x or ""

    def normalize(self, x: str | None) -> str:
        if x is not None:
            return x
        return socket.gethostname() if settings("distribution").get("bucket") else ""


class CheckedParameter(luigi.Parameter):
    """A value that has to pass a check, be it given as text, as a number or in luigi.cfg."""

    def __init__(self, check: Check, default: Value, description: str, *, significant: bool = True) -> None:
        super().__init__(default=default, description=description, significant=significant)
        self._check = check

    def normalize(self, x: Any) -> Value:
        return self._check.check_value(self._attribute_name, x)


class RecipeParameter(luigi.Parameter):
    """A key of a recipe; None (no text) means not given, until `tasks.wiring.recipe_lookup` completes it."""

    def __init__(self, key: Key) -> None:
        significant = key.acts_on is not ActsOn.CHECKPOINTS
        super().__init__(default=None, description=key.help, significant=significant, positional=False)
        self.key = key

    def parse(self, x: str) -> str | None:
        return x or None

    def serialize(self, x: Any) -> str:
        return "" if x is None else str(x)

    def normalize(self, x: Any) -> Value | None:
        return None if x is None else self.key.check.check_value(self.key.name, x)


def _check_no_pattern(name: str, path: str) -> str:
    if set(path) & set("[]*?\\"):
        raise InvalidParameter(
            f"{name} {path!r}: TensorFlow takes [ ] * ? and \\ in a path for a pattern, and would find no weights; "
            "choose a path without them"
        )
    return path


def settings(section: str) -> dict[str, str]:
    """What one of the SETTINGS of luigi.cfg says; raises InvalidParameter for a key that nobody reads."""
    config = get_config()
    found = dict(config[section]) if config.has_section(section) else {}
    for name in found:
        if name not in SETTINGS[section]:
            allowed = ", ".join(SETTINGS[section])
            raise InvalidParameter(f"luigi.cfg [{section}] {name}: unknown key; allowed are {allowed}")
    return found
