"""Fetch archives from mirrors: every byte is verified before a file gets its name."""

import logging
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pooch
import requests

from tasks.data.dataset import Archive, Dataset
from tasks.errors import DownloadFailed
from tasks.storage import checksums, publishing

logger = logging.getLogger(__name__)
pooch.get_logger().setLevel(logging.WARNING)  # what it says about each file is said here

TIMEOUT_SECONDS = 30.0
RETRIES = 2  # pooch waits 1 s before the first and 2 s before the second
WORTH_ANOTHER_ATTEMPT = {408, 425, 429, *range(500, 600)}  # HTTP status

Report = Callable[[float, str], None]
PartReport = Callable[[int, int], None]  # bytes that have arrived, and in all


def fetch_archives(dataset: Dataset, mirrors: Sequence[str], directory: Path, *, report: Report) -> None:
    """Make sure that `directory` holds the four archives, each from the first mirror that gives the right bytes.

    What is there already and right is left alone. `mirrors` are http(s) or `file://` addresses of folders, or plain
    folders; `report` is called with the fraction that has arrived (0 to 1) and a line of text.

    Raises:
        DownloadFailed: no mirror gave the right bytes; the text gives the reason of each, and the ways out.
    """
    for number, archive in enumerate(dataset.archives):
        if archive.lies_in(directory):
            continue

        def report_part(arrived: int, total: int, done: int = number) -> None:
            count = len(dataset.archives)
            text = f"file {done + 1} of {count}, {arrived / 1e6:.1f} of {total / 1e6:.1f} MB"
            report((done + min(1.0, arrived / total)) / count, text)

        reasons = []
        if (directory / archive.name).is_file():
            found = checksums.sha256(directory / archive.name)
            reasons.append(f"{directory / archive.name}: has SHA-256 {found}, expected {archive.sha256}")
            logger.warning("%s", reasons[-1])
        for mirror in mirrors:
            try:
                _fetch_from(archive, mirror, directory, report_part)
            except (OSError, ValueError) as error:  # requests' errors are OSErrors, pooch's of a checksum ValueErrors
                reasons.append(f"{mirror}: {_reason(error)}")
                logger.warning("No %s from %s", archive.name, reasons[-1])
            else:
                logger.debug("Fetched %s from %s", archive.name, mirror)
                break
        else:
            names = ", ".join(needed.name for needed in dataset.archives)
            raise DownloadFailed(
                f"{archive.name} could not be fetched. {'; '.join(reasons)}. Ways out: name another mirror "
                f"(--DownloadDataset-mirrors URL, or a folder); put the files {names} into {directory} yourself; "
                "or train on --dataset digits, which needs no network."
            )


def _fetch_from(archive: Archive, mirror: str, directory: Path, report: PartReport) -> None:
    """One mirror: over HTTP with retries and back-off, or copied from a folder; verified before it gets its name."""
    is_web = urlparse(mirror).scheme in {"http", "https"}
    with publishing.scratch_directory(directory / archive.name) as scratch:
        pooch.create(
            path=scratch,
            base_url="",
            registry={archive.name: f"sha256:{archive.sha256}"},
            urls={archive.name: f"{mirror.rstrip('/')}/{archive.name}"},
            retry_if_failed=RETRIES if is_web else 0,
        ).fetch(archive.name, downloader=partial(_download, report=report) if is_web else _copy)
        (scratch / "usual").touch()
        shutil.copymode(scratch / "usual", scratch / archive.name)  # pooch's files are for their owner alone
        publishing.flush(scratch / archive.name)
        (scratch / archive.name).replace(directory / archive.name)


def _download(url: str, output_file: str, pooch_: Any, *, report: PartReport) -> None:
    """Stream `url` into `output_file`; refuse at once what another attempt would not change."""
    counter = _Counter(report)
    try:
        pooch.HTTPDownloader(timeout=TIMEOUT_SECONDS, progressbar=counter, chunk_size=1 << 16)(url, output_file, pooch_)
    except requests.HTTPError as error:
        status = error.response.status_code
        if status not in WORTH_ANOTHER_ATTEMPT:
            raise OSError(f"HTTP status {status} {error.response.reason}") from error
        raise
    _refuse_page(output_file)


def _copy(source: str, output_file: str, pooch_: Any) -> None:  # noqa: ARG001 - pooch calls it with three arguments
    """Copy from a folder, given as a path or as a `file://` address."""
    address = urlparse(source)
    path = Path(unquote(address.path)) if address.scheme == "file" else Path(source).expanduser()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OSError(f"{error.strerror}: {path}") from error  # no errno: it is the mirror's fault, not the target's
    Path(output_file).write_bytes(content)
    _refuse_page(output_file)


def _refuse_page(path: str) -> None:
    with Path(path).open("rb") as stream:
        if stream.read(64).lstrip().lower().startswith((b"<!doctype", b"<html")):
            raise OSError("a web page is there instead of the file")


class _Counter:
    """What pooch takes for a progress bar: it tells `report` how much has arrived."""

    total = 0  # bytes, as the server says; pooch sets it

    def __init__(self, report: PartReport) -> None:
        self.report = report
        self.arrived = 0

    def update(self, count: int) -> None:
        """Count more bytes."""
        self.arrived += count
        if self.total:
            self.report(self.arrived, self.total)

    def reset(self) -> None:
        """Start again at zero, which pooch does once before it counts all at once."""
        self.arrived = 0

    def close(self) -> None:
        """Nothing is open."""


def _reason(error: Exception) -> str:
    """One line out of an exception that may wrap three others."""
    if isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUT_SECONDS:.0f} s"
    if isinstance(error, requests.ConnectionError):
        cause = getattr(error.args[0] if error.args else error, "reason", error)
        return "no connection: " + str(cause).rsplit(": ", 1)[-1]
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error).splitlines()[0].partition(" Deleted download")[0].rstrip(".")
