"""Fetch archives from mirrors: every byte is verified before a file gets its name.

A mirror may be anybody: of what it sends no more is taken than the archive has, as it comes (nothing is unpacked); it
is given up when it is slower than a stated rate; redirections lead to the web alone; certificates are verified.
"""

import logging
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import pooch
import requests

from tasks.data.dataset import LEAST_RATE, Archive, Dataset
from tasks.errors import DownloadFailed
from tasks.storage import checksums, files, publishing
from tasks.storage.object_store import absolute_folder

logger = logging.getLogger(__name__)
pooch.get_logger().setLevel(logging.WARNING)  # what it says about each file is said here

TIMEOUT_SECONDS = 30.0  # for the first byte, and for as many as come in that time at the least rate
BLOCK = 1 << 12
MOST_REDIRECTIONS = 5
RETRIES = 2  # pooch waits 1 s before the first and 2 s before the second
WORTH_ANOTHER_ATTEMPT = {408, 425, 429, *range(500, 600)}  # HTTP status

Report = Callable[[float, str], None]
PartReport = Callable[[int], None]  # bytes that have arrived


def fetch_archives(
    dataset: Dataset, mirrors: Sequence[str], directory: Path, *, report: Report, least_rate: int = LEAST_RATE
) -> None:
    """Make sure that `directory` holds the four archives, each from the first mirror that gives the right bytes.

    What is there already and right is left alone. `mirrors` are http(s) or `file://` addresses of folders, or plain
    folders; `report` is called with the fraction that has arrived (0 to 1) and a line of text. A mirror that sends
    fewer than `least_rate` bytes a second is given up.

    Raises:
        DownloadFailed: no mirror gave the right bytes; the text gives the reason of each, and the ways out.
    """
    for number, archive in enumerate(dataset.archives):
        if archive.lies_in(directory):
            continue

        def report_part(arrived: int, total: int = archive.size, done: int = number) -> None:
            count = len(dataset.archives)
            text = f"file {done + 1} of {count}, {arrived / 1e6:.1f} of {total / 1e6:.1f} MB"
            report((done + arrived / total) / count, text)

        reasons = []
        if (directory / archive.name).is_file():
            found = checksums.sha256(directory / archive.name)
            reasons.append(f"{directory / archive.name}: has SHA-256 {found}, expected {archive.sha256}")
            logger.warning("%s", reasons[-1])
        for mirror in mirrors:
            try:
                _fetch_from(archive, mirror, directory, report_part, least_rate)
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


def _fetch_from(archive: Archive, mirror: str, directory: Path, report: PartReport, least_rate: int) -> None:
    """One mirror: over HTTP with retries and back-off, or copied from a folder; verified before it gets its name."""
    is_web = urlsplit(mirror).scheme in {"http", "https"}
    read = partial(_download, least_rate=least_rate) if is_web else _copy
    with publishing.scratch_directory(directory / archive.name) as scratch:
        pooch.create(
            path=scratch,
            base_url="",
            registry={archive.name: f"sha256:{archive.sha256}"},
            urls={archive.name: f"{mirror.rstrip('/')}/{archive.name}"},
            retry_if_failed=RETRIES if is_web else 0,
        ).fetch(archive.name, downloader=partial(_write, read=read, size=archive.size, report=report))
        (scratch / "usual").touch()
        shutil.copymode(scratch / "usual", scratch / archive.name)  # pooch's files are for their owner alone
        publishing.flush(scratch / archive.name)
        (scratch / archive.name).replace(directory / archive.name)


def _write(
    source: str, output_file: str, _: Any, *, read: Callable[[str, int], Iterator[bytes]], size: int, report: PartReport
) -> None:
    """Write what `read` gives of `source` into `output_file`; refuse at once what another attempt would not change."""
    arrived = 0
    with Path(output_file).open("wb") as stream:
        for block in read(source, size + 1):
            if not arrived and block[:64].lstrip().lower().startswith((b"<!doctype", b"<html")):
                raise OSError("a web page is there instead of the file")
            arrived += len(block)
            if arrived > size:
                raise OSError(f"sends more than the {size:,} bytes that the file has")
            stream.write(block)
            report(arrived)


def _copy(source: str, most: int) -> Iterator[bytes]:
    """The first `most` bytes of a file in a folder, given as a path or as a `file://` address."""
    address = urlsplit(source)
    path = Path(unquote(address.path)) if address.scheme == "file" else Path(absolute_folder("mirror", source))
    try:
        with files.open_regular(path) as stream:
            yield stream.read(most)
    except OSError as error:
        raise OSError(f"{error.strerror}: {path}") from error  # no errno: it is the mirror's fault, not the target's


def _download(url: str, most: int, *, least_rate: int) -> Iterator[bytes]:
    """The first `most` bytes of what `url` answers, as they come in; raises OSError where that is too slow.

    They are read in a thread of its own: a timeout of requests begins anew with every byte that drips in, be it of the
    answer's header.
    """
    arrived: queue.SimpleQueue[bytes | Exception | None] = queue.SimpleQueue()
    given_up = threading.Event()
    threading.Thread(target=_read, args=(url, most, arrived, given_up), daemon=True).start()
    answers, count, due, until = False, 0, 0.0, time.monotonic() + TIMEOUT_SECONDS
    try:
        while True:
            try:
                block = arrived.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                if not answers:
                    raise requests.Timeout from None
                raise OSError(
                    f"slower than {least_rate:,} bytes a second, the least rate (--DownloadDataset-least-rate)"
                ) from None
            if isinstance(block, Exception):
                raise block if isinstance(block, OSError) else requests.ConnectionError(block)
            if block is None:
                answers = True
                continue
            if not block:
                return
            count += len(block)
            if count >= due + least_rate * TIMEOUT_SECONDS:
                due, until = count, time.monotonic() + TIMEOUT_SECONDS
            yield block
    finally:
        given_up.set()


def _read(
    url: str, most: int, arrived: "queue.SimpleQueue[bytes | Exception | None]", given_up: threading.Event
) -> None:
    """Put None into a queue when an answer begins, then its blocks, at last an empty one; or what went wrong."""
    try:
        with requests.Session() as session, _open(session, url) as response:
            if response.status_code in WORTH_ANOTHER_ATTEMPT:
                response.raise_for_status()
            if not response.ok:
                raise OSError(f"HTTP status {response.status_code} {response.reason}")
            arrived.put(None)
            while most > 0 and not given_up.is_set():
                # as it comes: a mirror that packs what it sends could pack gigabytes into a few bytes
                block = response.raw.read(min(most, BLOCK), decode_content=False)
                arrived.put(block)
                most -= len(block)
                if not block:
                    return
            arrived.put(b"")
    except Exception as error:  # noqa: BLE001 - told in the other thread
        arrived.put(error)


def _open(session: requests.Session, url: str) -> requests.Response:
    """The answer at the end of all redirections, its body unread; raises OSError."""
    find_target = session.get_redirect_target
    session.get_redirect_target = lambda _: None  # or requests reads each body to its end
    for _ in range(MOST_REDIRECTIONS + 1):
        # the header and the body may take as long as `_download` lets them
        response = session.get(url, stream=True, timeout=2 * TIMEOUT_SECONDS, headers={"Accept-Encoding": "identity"})
        target = find_target(response)
        if target is None:
            break
        response.close()
        target, source = urljoin(url, target), urlsplit(url).scheme
        if urlsplit(target).scheme not in {"https", source}:
            raise OSError(
                f"is redirected to {target[:200]!r}; allowed is {'https' if source == 'https' else 'http(s)'}"
            )
        url = target
    else:
        raise OSError(f"is redirected more than {MOST_REDIRECTIONS} times")
    return response


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
