"""Whether a version may be served."""

import logging
from pathlib import Path

from tasks.errors import PipelineError
from tasks.execution import calls
from tasks.execution.computations import verify_version
from tasks.serving import foreign
from tasks.versions import signing
from tasks.versions.tree import ERROR

logger = logging.getLogger(__name__)


def find_fault(
    base_path: Path,
    version: int,
    *,
    threads: int,
    config_path: Path,
    public_key: Path | None = None,
    is_emergency: bool = False,
) -> str | None:
    """Why a version must not be served, by verification; None if it may."""
    directory = base_path / str(version)
    if public_key is not None:
        try:
            flaw = signing.find_flaw(directory, public_key)
        except PipelineError as error:  # a key that cannot be read is no fault of the version
            if not is_emergency:
                raise
            flaw = str(error)
        if flaw and is_emergency:
            logger.warning("Version %d %s; it was promoted before, so a roll-back goes on", version, flaw)
    promoted = foreign.promoted_files(config_path, base_path, version)
    verified = calls.run(verify_version, directory, promoted, None if is_emergency else public_key, threads=threads)
    errors = [fault.message for fault in verified.faults if fault.severity == ERROR]
    return f"{directory} fails verification: {'; '.join(errors)}" if errors else None
