"""Old versions: which stay, what their removal frees, and what others remove meanwhile."""

import functools
import shutil

import pytest

from tasks.errors import ReleaseRefused
from tasks.serving import retirement
from tasks.storage import publishing
from tests.serving.conftest import loaded, promote, serve


def test_retirement_spares_what_is_needed(served):
    """Labelled versions, what they would be rolled back to, the newest, and what is kept loaded stay."""
    promote(served, "stable", 1)
    promote(served, "stable", 2)
    lines = retirement.retire(served, 1, apply=True, why="")
    assert lines[0].startswith(str(served.base_path / "3"))
    assert ["1", "2", "4"] == sorted(path.name for path in served.base_path.iterdir())
    assert [1, 2, 4] == loaded(served)


def test_retirement_spares_what_is_kept_loaded(base_path, config_path):
    """However few of the newest are to stay: what is loaded without a label does not go."""
    served = serve(config_path, base_path, keep_loaded=3)
    promote(served, "stable", 1)
    assert [1, 2, 3, 4] == loaded(served)
    assert retirement.retire(served, 1, apply=True, why="")[-1].startswith("0 versions")
    fewer = serve(config_path, base_path, keep_loaded=1)
    assert retirement.retire(fewer, 1, apply=False, why="")[-1].endswith("1, 4 stay")


def test_retirement_spares_the_newest_good_version(served):
    """Where the newest versions are all bad, the last good one stays, too; where all are, every one does."""
    bad_from_3 = serve(served.config_path, served.base_path, verdict=lambda version: "bad" if version > 2 else None)
    assert retirement.retire(bad_from_3, 1, apply=False, why="")[-1].endswith("2, 4 stay")
    all_bad = serve(served.config_path, served.base_path, verdict=lambda _: "bad")
    with pytest.raises(ReleaseRefused, match="none is removed"):
        retirement.retire(all_bad, 1, apply=True, why="")
    assert 4 == len(list(served.base_path.iterdir()))
    assert not served.config_path.exists()


def test_what_retirement_frees_is_counted(served, tmp_path):
    """Files below a version count; what a link leads to stays, so it does not."""
    elsewhere = tmp_path / "elsewhere"
    shutil.move(served.base_path / "1", elsewhere)
    (served.base_path / "1").symlink_to(elsewhere)
    (served.base_path / "2" / "more").write_bytes(bytes(3 << 20))
    (served.base_path / "2" / "link").symlink_to(elsewhere / "saved_model.pb")
    lines = retirement.retire(served, 2, apply=True, why="")
    assert f"{served.base_path / '1'}: 0.0 MiB" == lines[0]
    assert f"{served.base_path / '2'}: 3.2 MiB" == lines[1]
    assert (elsewhere / "saved_model.pb").is_file()


def test_retirement_says_what_stays_in_the_right_number(served):
    """One version stays, several stay."""
    retire = functools.partial(retirement.retire, served, apply=False, why="")
    assert retire(1)[-1].endswith("; 4 stays")
    assert retire(2)[-1].endswith("; 3, 4 stay")


def test_what_others_remove_meanwhile_is_not_missed(served, in_process):
    """Files and versions that vanish while they are counted and removed end in no traceback."""
    remover = in_process(
        "import shutil, sys; print(flush=True); [shutil.rmtree(path, ignore_errors=True) for path in sys.argv[1:]]",
        *(served.base_path / version for version in "12"),
    )
    remover.stdout.readline()
    while remover.poll() is None:
        retirement.retire(served, 2, apply=False, why="")
    retirement._remove(served.base_path, [1, 2, 3])
    assert ["4"] == [path.name for path in served.base_path.iterdir()]


def test_what_a_killed_process_left_is_swept(served):
    """A config file that was never renamed goes with the next change, a version that was half removed with the next."""
    left = [
        served.config_path.parent / publishing.aside_name("models.config", "01234567"),
        served.base_path / publishing.aside_name("1", "01234567"),
    ]
    for folder in left:
        folder.mkdir()
        (folder / "half").write_text("x")
    retirement.retire(served, 4, apply=True, why="")
    assert [False, False] == [folder.exists() for folder in left]
