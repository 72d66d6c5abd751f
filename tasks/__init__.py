r"""Numbered SavedModels for TensorFlow Serving, built by Luigi: each version's directory is a task's target.

    DownloadDataset -> PrepareDataset -> TrainModel (1000) -> TrainModel (2000) -> ...
                                             |                    |     one chain a recipe,
                                             v                    v     shared where recipes agree
                                       ExportVersion (1)   ExportVersion (2)
                                                   \         /
                                                ExportAllVersions

`luigi --module tasks ExportAllVersions --versions 1,2,3` does what is missing and nothing else; `VerifyVersions` looks
at what is there, `CompareVersions` holds it against each other. PromoteVersion, RollBack, RemoveLabel,
QuarantineVersion and RetireVersions change what is served, ConfirmRollout asks the servers. PushVersions brings
versions into a bucket, PullVersions from there to the host of a server. SignVersions shows who found them fit.
"""

import configparser

try:
    import luigi  # noqa: F401 - it reads luigi.cfg when it is imported
except (configparser.Error, UnicodeDecodeError) as error:
    raise SystemExit(
        f"luigi.cfg cannot be read: {' '.join(str(error).split())}; allowed is UTF-8 without a byte order mark, each "
        "section once, and each key once in it"
    ) from None

from tasks.comparison import CompareVersions
from tasks.distribution import PullVersions, PushVersions, WithdrawVersions
from tasks.inspection import RebuildVersions, VerifyVersions
from tasks.pipeline import DownloadDataset, ExportVersion, PrepareDataset, TrainModel
from tasks.release import ConfirmRollout, PromoteVersion, RemoveLabel, RollBack
from tasks.retention import QuarantineVersion, RetireVersions
from tasks.signing import SignVersions
from tasks.version_sets import ExportAllVersions
from tasks.wiring.luigi_defaults import set_up

__version__ = "0.1.0"

__all__ = [
    "CompareVersions",
    "ConfirmRollout",
    "DownloadDataset",
    "ExportAllVersions",
    "ExportVersion",
    "PrepareDataset",
    "PromoteVersion",
    "PullVersions",
    "PushVersions",
    "QuarantineVersion",
    "RebuildVersions",
    "RemoveLabel",
    "RetireVersions",
    "RollBack",
    "SignVersions",
    "TrainModel",
    "VerifyVersions",
    "WithdrawVersions",
]

set_up()
