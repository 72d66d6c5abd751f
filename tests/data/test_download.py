"""Fetching from mirrors that are good, slow, dead or wrong: real servers on the loopback interface."""

import errno
import os
import re

import pytest

from tasks.data import download as archives
from tasks.errors import DownloadFailed, StorageFailed
from tests import disks
from tests.data.conftest import (
    CONTENTS,
    DATASET,
    cut_it_short,
    keep_waiting,
    not_found,
    send_a_page,
    send_it,
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
    assert {0.25, 0.5, 0.75, 1.0} == set(fractions)
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
