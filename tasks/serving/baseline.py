"""The version in service, which a new one is held against: what the label `stable` points at in the config file."""

from pathlib import Path
from typing import Any

from tasks.errors import InvalidServingConfig
from tasks.serving.config_file import find_models, labels, read_config
from tasks.serving.release_log import ReleaseLog
from tasks.versions.compatibility import STABLE, Baseline


def find_baseline(
    base_path: Path,
    version: int,
    config_path: Path,
    *,
    max_regression: float | None = None,
    max_regression_p: float | None = None,
    allow_signature_change: bool = False,
) -> Baseline | None:
    """What `stable` points at; None if nothing, or if it is the very version that is going to be made.

    Of several models that are served from the folder, the newest `stable` counts: whoever promotes them one after the
    other means it to be the standard.

    Raises:
        InvalidServingConfig: the file cannot be read, or such a label points at a version that is gone.
    """
    baselines = []
    config = read_config(config_path)
    for entry in find_models(config, base_path) or _released_from(base_path, config, config_path):
        stable = labels(entry).get(STABLE)
        if stable is None or stable == version:
            continue
        directory = base_path / str(stable)
        if not directory.is_dir():
            raise InvalidServingConfig(
                f"{config_path}: the label {STABLE!r} of model {entry.name!r} points at version {stable}, "
                f"and {directory} is gone; bring it back, or point the label at a version that is there"
            )
        baselines.append(Baseline(stable, directory, max_regression, max_regression_p, allow_signature_change))
    return max(baselines, key=lambda baseline: baseline.version, default=None)


def _released_from(base_path: Path, config: Any, config_path: Path) -> list[Any]:
    """The models whose base path in the file is the servers' own: the log says where their versions lie here."""
    moves = ReleaseLog(config_path.parent).moves()
    names = {m.model for m in moves if (m.config, Path(m.base_path)) == (config_path.name, base_path)}
    return [entry for entry in config.model_config_list.config if entry.name in names]
