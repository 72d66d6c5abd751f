"""Fetching from mirrors that are good, slow, dead or wrong: real servers on the loopback interface."""

import errno
import os
import re
import time
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tasks.data import download as archives
from tasks.errors import DownloadFailed, StorageFailed
from tests import disks
from tests.data.conftest import (
    CONTENTS,
    DATASET,
    claim_too_much,
    cut_it_short,
    drip_a_body,
    drip_a_header,
    keep_waiting,
    never_end,
    not_found,
    redirect_to,
    send_a_bomb,
    send_a_page,
    send_it,
    send_it_packed,
    send_it_without_its_length,
    send_other_bytes,
    server_error,
)

DEAD = "http://127.0.0.1:9/"  # the discard port: nobody listens


def ignore(fraction, text):
    """Report to nobody."""


def fetch(mirrors, directory, report=ignore):
    directory.mkdir(exist_ok=True)
    archives.fetch_archives(DATASET, [str(mirror) for mirror in mirrors], directory, report=report)


def read_all(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize("answer", [send_it, send_it_without_its_length])
def test_archives_are_fetched_over_http(tmp_path, scripted_mirror, answer):
    """A good mirror is asked once for each archive, and nothing else lies beside them afterwards."""
    mirror, requests = scripted_mirror(answer)
    fetch([mirror], tmp_path / "here")
    assert CONTENTS == read_all(tmp_path / "here")
    assert list(CONTENTS) == requests


def test_an_address_needs_no_slash_at_its_end(tmp_path, scripted_mirror):
    """A mirror is the same with and without the last slash."""
    mirror, _ = scripted_mirror(send_it)
    fetch([mirror.rstrip("/")], tmp_path / "here")
    assert CONTENTS == read_all(tmp_path / "here")


def test_archives_are_copied_from_a_folder(tmp_path, folder_mirror):
    """A plain folder is a mirror."""
    fetch([folder_mirror], tmp_path / "here")
    assert CONTENTS == read_all(tmp_path / "here")


def test_archives_are_copied_from_a_file_address(tmp_path, folder_mirror):
    """A `file://` address is a mirror, with the blank in it written as %20."""
    mirror = folder_mirror.as_uri()
    assert "%20" in mirror
    fetch([mirror], tmp_path / "here")
    assert CONTENTS == read_all(tmp_path / "here")


def test_what_is_there_and_right_is_not_fetched(tmp_path, scripted_mirror):
    """Only the missing and the wrong archive are asked for, and a second run asks for nothing."""
    mirror, requests = scripted_mirror(send_it)
    directory = tmp_path / "here"
    directory.mkdir()
    (directory / "train-images").write_bytes(CONTENTS["train-images"])
    (directory / "train-labels").write_bytes(b"wrong")
    (directory / "test-images").write_bytes(CONTENTS["test-images"])
    fetch([mirror], directory)
    assert ["train-labels", "test-labels"] == requests
    fetch([mirror], directory)
    assert ["train-labels", "test-labels"] == requests
    assert CONTENTS == read_all(directory)


def test_a_server_error_is_tried_again(tmp_path, scripted_mirror):
    """A mirror that answers 500 is asked again after a while, and its next answer counts."""
    mirror, requests = scripted_mirror(server_error, send_it)
    fetch([mirror], tmp_path / "here")
    assert CONTENTS == read_all(tmp_path / "here")
    assert ["train-images", *CONTENTS] == requests


def test_a_body_that_is_cut_short_is_fetched_again(tmp_path, scripted_mirror):
    """A connection that breaks in the middle is no answer, and the next attempt counts."""
    mirror, requests = scripted_mirror(cut_it_short, send_it)
    fetch([mirror], tmp_path / "here")
    assert CONTENTS == read_all(tmp_path / "here")
    assert ["train-images", *CONTENTS] == requests


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(not_found, "HTTP status 404"), (send_a_page, "a web page is there instead of the file")],
)
def test_what_another_attempt_would_not_change_is_refused_at_once(tmp_path, scripted_mirror, answer, reason):
    """A missing file and a log-in page (of status 200) are not asked for again."""
    mirror, requests = scripted_mirror(answer)
    with pytest.raises(DownloadFailed, match=re.escape(f"{mirror}: {reason}")):
        fetch([mirror], tmp_path / "here")
    assert ["train-images"] == requests
    assert {} == read_all(tmp_path / "here")


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (server_error, "500 Server Error"),
        (cut_it_short, r".*(IncompleteRead|5 more expected)"),
        (send_other_bytes, r".*hash of downloaded file \(train-images\) does not match"),
        (keep_waiting, "no answer within 1 s"),
    ],
)
def test_a_bad_answer_never_gets_the_name(tmp_path, scripted_mirror, monkeypatch, answer, reason):
    """Bytes that are not the expected ones are not there under any name, and the error says what was wrong."""
    monkeypatch.setattr(archives, "TIMEOUT_SECONDS", 1.0)
    mirror, _ = scripted_mirror(answer)
    with pytest.raises(DownloadFailed, match=f"(?i){re.escape(mirror)}: {reason}"):
        fetch([mirror], tmp_path / "here")
    assert {} == read_all(tmp_path / "here")


@pytest.mark.usefixtures("at_once")
def test_a_good_mirror_after_bad_ones_is_enough(tmp_path, scripted_mirror, folder_mirror, caplog):
    """Mirrors are tried in turn, each failure is logged with its reason, and the last good one serves."""
    wrong, _ = scripted_mirror(send_other_bytes)
    fetch([DEAD, wrong, folder_mirror], tmp_path / "here")
    assert CONTENTS == read_all(tmp_path / "here")
    warnings = sorted({record.getMessage() for record in caplog.records if record.levelname == "WARNING"})
    for name in CONTENTS:
        refused = f"No {name} from {DEAD}: no connection: [Errno 111] Connection refused"
        other = f"No {name} from {wrong}: SHA256 hash of downloaded file ({name}) does not match the known hash"
        assert [refused] == [text for text in warnings if text.startswith(f"No {name} from {DEAD}")]
        assert [True] == [text.startswith(other) for text in warnings if text.startswith(f"No {name} from {wrong}")]


@pytest.mark.usefixtures("at_once")
def test_the_error_names_each_mirror_and_the_ways_out(tmp_path, scripted_mirror):
    """When no mirror has it, the text gives the reason of each, the files to put by hand and where, and `digits`."""
    missing, _ = scripted_mirror(not_found)
    empty = tmp_path / "empty"
    with pytest.raises(DownloadFailed) as caught:
        fetch([DEAD, missing, empty], tmp_path / "here")
    text = str(caught.value)
    assert text.startswith(f"train-images could not be fetched. {DEAD}: no connection: ")
    assert f"; {missing}: HTTP status 404 Not Found; " in text
    assert f"; {empty}: No such file or directory: {empty / 'train-images'}. " in text
    assert "--DownloadDataset-mirrors URL" in text
    assert f"put the files {', '.join(CONTENTS)} into {tmp_path / 'here'} yourself" in text
    assert "--dataset digits" in text
    assert "\n" not in text


@pytest.mark.usefixtures("at_once")
def test_a_folder_with_wrong_files_is_refused(tmp_path, folder_mirror):
    """A file from a folder is verified like one from the network."""
    (folder_mirror / "train-images").write_bytes(CONTENTS["train-labels"])
    with pytest.raises(DownloadFailed, match="does not match the known hash"):
        fetch([folder_mirror], tmp_path / "here")
    assert {} == read_all(tmp_path / "here")


@pytest.mark.usefixtures("at_once")
def test_a_full_disk_is_no_mirrors_fault(tmp_path, scripted_mirror):
    """A disk that takes no more is told as such, is no reason to try another mirror, and keeps nothing half."""
    mirror, _ = scripted_mirror(send_it)
    with (
        disks.file_size_limit(10_000),
        pytest.raises(StorageFailed, match=re.escape(f"{os.strerror(errno.EFBIG)}; make room")),
    ):
        fetch([mirror], tmp_path / "here")
    assert {} == read_all(tmp_path / "here")


def test_progress_is_reported(tmp_path, scripted_mirror):
    """What has arrived is reported as a fraction of all four archives that never falls, with a line of text."""
    mirror, _ = scripted_mirror(send_it)
    reports = []
    fetch([mirror], tmp_path / "here", report=lambda *report: reports.append(report))
    fractions = [fraction for fraction, _ in reports]
    assert sorted(fractions) == fractions
    assert {0.25, 0.5, 0.75, 1.0} <= set(fractions)
    size = f"{len(CONTENTS['test-labels']) / 1e6:.1f}"
    assert f"file 4 of 4, {size} of {size} MB" == reports[-1][1]


def test_no_bar_is_drawn_off_a_terminal(tmp_path, scripted_mirror, capfd):
    """Where stderr is no terminal, no progress bar fills the log."""
    mirror, _ = scripted_mirror(send_it)
    fetch([mirror], tmp_path / "here")
    assert "%" not in capfd.readouterr().err


def test_archives_have_the_usual_mode(tmp_path, scripted_mirror):
    """What was fetched may be read by whom the umask lets, as any file that a user writes."""
    mirror, _ = scripted_mirror(send_it)
    fetch([mirror], tmp_path / "here")
    (tmp_path / "usual").touch()
    usual = (tmp_path / "usual").stat().st_mode
    assert {usual} == {path.stat().st_mode for path in (tmp_path / "here").iterdir()}


@pytest.fixture
def in_a_second(monkeypatch):
    """A second is as long as an answer may take to begin, or to bring what the least rate asks for in that time."""
    monkeypatch.setattr(archives, "TIMEOUT_SECONDS", 1.0)


@pytest.mark.usefixtures("at_once", "in_a_second")
@pytest.mark.parametrize(
    "answer_and_reason",
    [
        (drip_a_header, "no answer within 1 s"),
        (drip_a_body, r"slower than 10,000 bytes a second, the least rate \(--DownloadDataset-least-rate\)"),
        (never_end, "sends more than the 26,000 bytes that the file has"),
        (claim_too_much, "sends more than the 26,000 bytes that the file has"),
        (send_a_bomb, r"SHA256 hash of downloaded file \(train-images\) does not match"),
        (redirect_to("file:///etc/passwd"), "is redirected to 'file:///etc/passwd'; allowed is http\\(s\\)"),
        (redirect_to("ftp://127.0.0.1/"), "is redirected to 'ftp://127.0.0.1/'; allowed is http\\(s\\)"),
        (redirect_to(""), "is redirected more than 5 times"),
    ],
)
def test_a_hostile_mirror_is_given_up(tmp_path, scripted_mirror, folder_mirror, caplog, answer_and_reason):
    """One that drips, never ends, sends more or packed, or leads elsewhere: a line says why, and the next is asked."""
    answer, reason = answer_and_reason
    hostile, _ = scripted_mirror(answer)
    started = time.monotonic()
    with disks.file_size_limit(26_000):  # no more than the archive has is ever written
        fetch([hostile, folder_mirror], tmp_path / "here")
    assert 20 > time.monotonic() - started
    assert CONTENTS == read_all(tmp_path / "here")
    warnings = list(dict.fromkeys(record.getMessage() for record in caplog.records if record.levelname == "WARNING"))
    assert 4 == len(warnings)
    assert re.match(f"No train-images from {hostile}: {reason}", warnings[0])


@pytest.mark.long
def test_a_rate_can_be_slow_on_purpose(tmp_path, scripted_mirror, monkeypatch):
    """With a lower least rate, a slow mirror is waited for."""
    monkeypatch.setattr(archives, "TIMEOUT_SECONDS", 0.5)

    def take_a_second(handler, content):
        handler.send_response(200)
        handler.end_headers()
        for start in range(0, len(content), 6500):
            handler.wfile.write(content[start : start + 6500])
            time.sleep(0.25)

    mirror, _ = scripted_mirror(take_a_second)
    (tmp_path / "here").mkdir()
    archives.fetch_archives(DATASET, [mirror], tmp_path / "here", report=ignore, least_rate=0)
    assert CONTENTS == read_all(tmp_path / "here")


def test_what_is_called_an_encoding_is_taken_as_it_comes(tmp_path, scripted_mirror):
    """A server that names gzip as the encoding of a file that is one sends the right bytes; they stay packed."""
    mirror, _ = scripted_mirror(send_it_packed)
    fetch([mirror], tmp_path / "here")
    assert CONTENTS == read_all(tmp_path / "here")


def test_a_redirection_within_the_web_is_followed(tmp_path, scripted_mirror):
    """A mirror may have moved; the body of the redirection, which never ends here, is not read."""
    good, requests = scripted_mirror(send_it)
    moved, _ = scripted_mirror(lambda handler, content: redirect_to(good + handler.path.lstrip("/"))(handler, content))
    fetch([moved], tmp_path / "here")
    assert CONTENTS == read_all(tmp_path / "here")
    assert list(CONTENTS) == requests


@pytest.fixture
def certificate(tmp_path):
    """A file with a certificate for 127.0.0.1 that nobody has signed but itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + made.public_bytes(Encoding.PEM))
    return path


@pytest.mark.usefixtures("at_once")
def test_certificates_are_verified(tmp_path, scripted_mirror, monkeypatch, certificate):
    """A certificate that nobody vouches for is refused, and one that REQUESTS_CA_BUNDLE names is not."""
    mirror, requests = scripted_mirror(send_it, certificate=certificate)
    with pytest.raises(DownloadFailed, match=f"{mirror}: .*self-signed certificate"):
        fetch([mirror], tmp_path / "here")
    assert [] == requests
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    fetch([mirror], tmp_path / "here")
    assert CONTENTS == read_all(tmp_path / "here")


@pytest.mark.usefixtures("at_once")
def test_https_is_not_left_by_a_redirection(tmp_path, scripted_mirror, monkeypatch, certificate):
    """From HTTPS no redirection leads to HTTP."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    open_to_all, requests = scripted_mirror(send_it)
    mirror, _ = scripted_mirror(redirect_to(open_to_all), certificate=certificate)
    with pytest.raises(DownloadFailed, match=f"redirected to '{open_to_all}'; allowed is https"):
        fetch([mirror], tmp_path / "here")
    assert [] == requests


@pytest.mark.parametrize("place", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
def test_a_folder_with_what_is_no_file_is_refused(tmp_path, folder_mirror, place):
    """A FIFO, a device and a folder in the place of an archive are not opened, and nobody waits for them."""
    (folder_mirror / "train-images").unlink()
    place(folder_mirror / "train-images")
    with pytest.raises(DownloadFailed, match=f"{folder_mirror}: (Not a regular file|Is a directory): {folder_mirror}"):
        fetch([folder_mirror], tmp_path / "here")


def test_a_folder_with_a_file_that_is_too_long_is_refused(tmp_path, folder_mirror):
    """No more than the archive has is read of a file, however long it is."""
    with (folder_mirror / "train-images").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(DownloadFailed, match=f"{folder_mirror}: sends more than the 26,000 bytes that the file has"):
        fetch([folder_mirror], tmp_path / "here")


def test_a_fifo_in_the_place_of_an_archive_is_replaced(tmp_path, scripted_mirror):
    """What is no file under an archive's name is not waited for: the archive is fetched, and takes its place."""
    (tmp_path / "here").mkdir()
    os.mkfifo(tmp_path / "here" / "train-labels")
    mirror, _ = scripted_mirror(send_it)
    fetch([mirror], tmp_path / "here")
    assert CONTENTS == read_all(tmp_path / "here")
