"""What a server's config file (`--model_config_file`) says: models, their base paths, and their labels.

The file is a ModelServerConfig in protobuf's text format. Importing its message costs 40 ms and no TensorFlow, so it
is imported where a file is read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.errors import InvalidServingConfig


def read_config(path: Path) -> Any:
    """The ModelServerConfig in `path`; None where there is no file.

    Raises:
        InvalidServingConfig: it cannot be read, or is not in that format; the text names file and line.
    """
    from google.protobuf import text_format

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidServingConfig(f"{path}: cannot be read: {error}") from error
    try:
        return text_format.Parse(text, empty_config())
    except text_format.ParseError as error:
        raise InvalidServingConfig(f"{path}: no ModelServerConfig in text format: line {error}") from error


def empty_config() -> Any:
    """A ModelServerConfig with nothing in it."""
    from tensorflow_serving.config import model_server_config_pb2

    return model_server_config_pb2.ModelServerConfig()


def find_model(config: Any, base_path: Path, name: str | None = None) -> Any:
    """The entry of the model that is served from `base_path`; None if there is none (or no config).

    Two models may be served from one folder: with `name`, it is the one of that name; without, the first.
    """
    return next((entry for entry in find_models(config, base_path) if name in {None, entry.name}), None)


def find_models(config: Any, base_path: Path) -> list[Any]:
    """The entries of all models that are served from `base_path`."""
    wanted = os.path.realpath(base_path)
    entries = [] if config is None else config.model_config_list.config
    return [entry for entry in entries if os.path.realpath(entry.base_path) == wanted]


def labels(entry: Any) -> Mapping[str, int]:
    """Label -> version of one entry; empty for None."""
    return {} if entry is None else dict(entry.version_labels)
