"""The servers' config file (`--model_config_file`): models, their base paths, policies and labels.

The file is a ModelServerConfig in protobuf's text format. Importing its message costs 40 ms and no TensorFlow, so it
is imported where a file is read.
"""

import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tasks.errors import InvalidServingConfig
from tasks.storage import publishing
from tasks.storage.files import read_regular

BY_HAND = ".by-hand"
QUOTED = re.compile(r'"(?:\\.|[^"\\\n])*"' + "|" + r"'(?:\\.|[^'\\\n])*'")


def read_config(path: Path) -> Any:
    """The ModelServerConfig in `path`, an empty one where there is no file; raises InvalidServingConfig."""
    try:
        return parse_config(read_regular(path), str(path))
    except FileNotFoundError:
        return _empty_config()
    except OSError as error:
        raise InvalidServingConfig(f"{path}: cannot be read: {error}") from error


def parse_config(text: bytes, where: str) -> Any:
    """The ModelServerConfig that a file's content is; raises InvalidServingConfig, which says that it was `where`."""
    from google.protobuf import text_format

    try:
        config = text_format.Parse(text.decode(), _empty_config())
    except UnicodeDecodeError as error:
        raise InvalidServingConfig(f"{where}: cannot be read: {error}") from error
    except text_format.ParseError as error:
        raise InvalidServingConfig(f"{where}: no ModelServerConfig in text format: line {error}") from error
    except RecursionError as error:
        raise InvalidServingConfig(f"{where}: no ModelServerConfig in text format: nested too deeply") from error
    for entry in config.model_config_list.config:
        if "\0" in entry.base_path:
            raise InvalidServingConfig(f"{where}: model {entry.name!r}: no base_path has a NUL in it")
    return config


def write_config(path: Path, config: Any, *, before_rename: Callable[[], None]) -> None:
    """Replace the file; comments, which protobuf does not read, are first kept in a copy beside it.

    `before_rename` is called when the new text is safe on disk, right before it takes the place of the old.

    Raises:
        InvalidServingConfig: what would be written does not read back the same.
        StorageFailed: the disk is full or not writable; the file is as before.
    """
    from google.protobuf import text_format

    text: str = text_format.MessageToString(config, as_utf8=True)
    if text_format.Parse(text, _empty_config()) != config:
        raise InvalidServingConfig(f"{path}: what would be written does not read back the same; left as it is")
    if path.exists() and "#" in QUOTED.sub("", (former := read_regular(path)).decode()):
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        publishing.publish_file(path.with_name(f"{path.name}.{stamp}{BY_HAND}"), former)
    publishing.publish_file(path, text.encode(), before_rename=before_rename)


def find_model(config: Any, base_path: Path | str, name: str = "") -> Any:
    """The entry of the model that is served from `base_path`, of several the one of that name or the first."""
    return next((entry for entry in find_models(config, base_path) if name in {"", entry.name}), None)


def find_models(config: Any, base_path: Path | str) -> list[Any]:
    """The entries of all models that are served from `base_path`, as the file has it."""
    wanted = os.path.realpath(base_path)
    return [entry for entry in config.model_config_list.config if os.path.realpath(entry.base_path) == wanted]


def labels(entry: Any) -> Mapping[str, int]:
    """Label -> version of one entry; empty for None."""
    return {} if entry is None else dict(sorted(entry.version_labels.items()))


def _empty_config() -> Any:
    from tensorflow_serving.config import model_server_config_pb2

    return model_server_config_pb2.ModelServerConfig()
