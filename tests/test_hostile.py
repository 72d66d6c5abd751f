"""Trees and buckets that somebody has prepared: nothing outside is read, written or removed, and memory stays small.

A manifest may have been written by anyone, and with it the names, sizes and links of the version that it speaks of. A
file beside the tree, and one beside the bucket, is what they are after; every file that is opened is watched.
"""

import json
import os
import sys
import tracemalloc

from tests import quiet_tensorflow  # isort: skip - before anything else imports TensorFlow

import pytest

from tasks.errors import VerificationFailed
from tasks.storage import checksums
from tasks.storage.object_store import open_store
from tasks.versions import manifest as manifests
from tasks.versions.bucket import find_stored, look_up
from tasks.versions.manifest import MANIFEST, find_damage, read_manifest
from tasks.versions.pull import pull_version
from tests.buckets import edit_manifest, write_version
from tests.conftest import last_line, names_in, read_tree

__all__ = ["quiet_tensorflow"]

INDEX = "variables/variables.index"
SECRET = b"index"  # what the file outside holds: as long as the file whose place it takes
_opened: list[str] = []
_watched: list[str] = []


def _watch(event, arguments):
    if event in {"open", "os.listdir", "os.scandir"} and _watched and str(arguments[0]).startswith(tuple(_watched)):
        _opened.append(str(arguments[0]))


sys.addaudithook(_watch)


@pytest.fixture
def outside(tmp_path):
    """A folder that nobody has a business in; at the end it is as it was, and no file in it was opened."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "variables.index").write_bytes(SECRET)
    _opened.clear()
    _watched[:] = [str(folder)]
    yield folder
    _watched.clear()
    assert [] == _opened
    assert {"variables.index": SECRET} == read_tree(folder)


def told(result) -> str:
    """The last line, which has to say everything."""
    assert "Traceback" not in result.stderr
    return last_line(result)


def leads_out(version, outside):
    """The manifest names a file outside by a relative name."""
    name = os.path.relpath(outside / "variables.index", version)
    entry = {"bytes": len(SECRET), "sha256": checksums.sha256(version / INDEX)}
    edit_manifest(version, files=lambda files: {**files, name: entry})


def is_absolute(version, outside):
    """The manifest names a file outside by its absolute name."""
    entry = {"bytes": len(SECRET), "sha256": checksums.sha256(version / INDEX)}
    edit_manifest(version, files=lambda files: {**files, str(outside / "variables.index"): entry})


def links_out(version, outside):
    """A file of the version is a link to one outside, with the size and the checksum that the manifest says."""
    (version / INDEX).unlink()
    (version / INDEX).symlink_to(outside / "variables.index")


def folder_links_out(version, outside):
    """A folder of the version is a link to one outside, which holds all that the manifest says."""
    for path in (version / "variables").iterdir():
        path.unlink()
    (version / "variables").rmdir()
    (version / "variables").symlink_to(outside)
    edit_manifest(version, files=lambda files: {name: files[name] for name in files if "data" not in name})


def name_with_nul(version, _):
    """A name that no system call takes."""
    edit_manifest(version, files=lambda files: {"a\0b": {"bytes": 1, "sha256": "0" * 64}, **files})


def surrogate(version, _):
    """A name that cannot be written."""
    edit_manifest(version, files=lambda files: {"\ud800": {"bytes": 1, "sha256": "0" * 64}, **files})


def no_name(version, _):
    """The version's own folder."""
    edit_manifest(version, files=lambda files: {"": {"bytes": 1, "sha256": "0" * 64}, **files})


def backslash(version, _):
    """What another system takes for a folder."""
    edit_manifest(version, files=lambda files: {"..\\x": {"bytes": 1, "sha256": "0" * 64}, **files})


NAMES = [leads_out, is_absolute, name_with_nul, surrogate, no_name, backslash]
LINKS = [links_out, folder_links_out]
NAMED, LINKED = "its manifest names the file ", " is a link; its bytes belong to another place"


class TestTree:
    """Versions that came as a folder."""

    @pytest.fixture(params=[*NAMES, *LINKS])
    def harm(self, request):
        """What was done to version 2, and what is said of it."""
        return request.param, NAMED if request.param in NAMES else LINKED

    @pytest.fixture
    def run(self, run_here, outside, harm):
        """Run a task beside a tree with the versions 1 to 3, of which 2 is hostile."""
        for number in (1, 2, 3):
            write_version(run_here.base, number)
        harm[0](run_here.base / "2", outside)
        return run_here

    def test_it_is_no_version_that_is_there(self, run, harm):
        """Whatever asks whether a version is complete gets the reason, and looks at nothing outside."""
        assert harm[1] in find_damage(run.base / "2", read_manifest(run.base / "2"))

    def test_verifying_names_it(self, run, harm):
        """It is an error of version 2; one with links is not loaded."""
        result = run("VerifyVersions", "--versions", "2", check=30)
        assert harm[1] in result.stdout
        assert "Traceback" not in result.stderr
        assert ("was not loaded: it has links" in result.stdout) == (harm[0] in LINKS)

    def test_promoting_refuses_it(self, run, harm):
        """The line has the reason, and no config file is written."""
        result = run("PromoteVersion", "--label", "stable", "--version", "2", "--wait-seconds", "0", check=30)
        assert harm[1] in told(result)
        assert not (run.base.parent / "models.config").exists()

    def test_pushing_refuses_it(self, run, harm, tmp_path):
        """Nothing comes into the bucket."""
        (tmp_path / "bucket").mkdir()
        result = run("PushVersions", "--versions", "2", "--bucket", tmp_path / "bucket", check=30)
        assert harm[1] in told(result)
        assert [] == names_in(tmp_path / "bucket")

    def test_rebuilding_follows_nothing(self, run):
        """The recipe is all that is taken from the manifest; here it is none of this release."""
        edit_manifest(run.base / "2", recipe=lambda recipe: {**recipe, "config_path": None})
        result = run("RebuildVersions", "--versions", "2", "--work-dir", "work", check=30)
        assert "2: cannot be made again: it was made from another" in told(result) or "no recipe of this" in told(
            result
        )

    def test_retiring_removes_it_and_nothing_else(self, run):
        """What a link leads to stays."""
        verdict = "tasks.release.find_fault"
        with pytest.MonkeyPatch.context() as patch:  # these versions have no model in them, so none passes its checks
            patch.setattr(verdict, lambda *_, **__: None)
            run("RetireVersions", "--keep", "1", "--apply", check=0)
        assert "2" not in names_in(run.base)


class TestFolders:
    """Links in a folder that stands for a bucket."""

    @pytest.fixture
    def bucket(self, tmp_path):
        """One with version 3."""
        write_version(tmp_path / "bucket", 3)
        return tmp_path / "bucket"

    @pytest.mark.parametrize("harm", LINKS)
    def test_a_link_is_not_followed_by_a_pull(self, bucket, outside, tmp_path, harm):
        """It is no object, so what the manifest names is missing."""
        harm(bucket / "3", outside)
        (stored,) = find_stored(open_store(str(bucket))).values()
        with pytest.raises(VerificationFailed, match=f"{INDEX} is missing"):
            pull_version(stored, tmp_path / "served")
        assert [] == names_in(tmp_path / "served")

    @pytest.mark.parametrize("name", [INDEX, str(MANIFEST)])
    def test_a_fifo_is_no_object(self, bucket, tmp_path, name):
        """Nobody waits for its other end."""
        path = bucket / "3" / name
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(VerificationFailed, match=r"is missing|is not there"):
            pull_version(look_up(open_store(str(bucket)), 3), tmp_path / "served")

    @pytest.mark.parametrize("harm", LINKS)
    def test_nothing_is_pushed_through_a_link(self, bucket, outside, run_here, harm):
        """A folder of the bucket that leads out of it is named, and nothing is written there."""
        write_version(run_here.base, 3)
        harm(bucket / "3", outside)
        (bucket / "3" / "saved_model.pb").unlink()
        (bucket / "3" / MANIFEST).write_bytes((run_here.base / "3" / MANIFEST).read_bytes())
        result = run_here("PushVersions", "--bucket", bucket, check=30)
        assert "is a link, which is not followed; remove it" in told(result)

    def test_nothing_is_removed_through_a_link(self, bucket, outside, run_here):
        """What a link leads to stays."""
        folder_links_out(bucket / "3", outside)
        run_here("WithdrawVersions", "--versions", "3", "--bucket", bucket, check=0)
        assert ["variables"] == names_in(bucket / "3")


class TestBuckets:
    """What a store gives, of both kinds."""

    @pytest.fixture(params=["folder", "s3"])
    def put(self, request, tmp_path, s3):
        """Put version 3 into a bucket as it is, whatever its manifest says; gives it as it was found there."""
        base_path, bucket = tmp_path / "made", tmp_path / "bucket"
        url = s3.make_bucket() if request.param == "s3" else str(bucket)
        bucket.mkdir()
        write_version(base_path, 3)

        def put(**changes):
            edit_manifest(base_path / "3", **changes)
            for name, content in read_tree(base_path).items():
                replace(name, content)
            (stored,) = find_stored(open_store(url, s3.address)).values()
            return stored

        def replace(name, content):
            if request.param == "s3":
                s3.client.put_object(Bucket=url.split("/")[2], Key=f"mnist/{name}", Body=content)
            else:
                (bucket / name).parent.mkdir(parents=True, exist_ok=True)
                (bucket / name).write_bytes(content)

        put.replace = replace
        return put

    @pytest.mark.parametrize(
        "name", ["../../stolen", "/tmp/stolen-by-a-test", "a\0b", "\ud800", "", "..\\x", "saved_model.pb/x", "é" * 200]
    )
    def test_names_that_lead_elsewhere(self, put, tmp_path, name):
        """Nothing is fetched, and nothing is visible here or elsewhere."""
        entry = {"bytes": 0, "sha256": "0" * 64}
        stored = put(files=lambda files: {name: entry, **files})
        with pytest.raises(VerificationFailed, match=f"3: {NAMED}"):
            pull_version(stored, tmp_path / "served")
        assert [] == names_in(tmp_path / "served")
        assert [] == list(tmp_path.rglob("*stolen*"))
        assert not os.path.lexists("/tmp/stolen-by-a-test")

    def test_an_object_that_grew_since_it_was_listed(self, put, tmp_path):
        """It is read as far as the manifest says, and a block more: not into memory, not onto the disk."""
        stored = put()
        put.replace(f"3/{INDEX}", b"X" * (64 << 20))
        peak = measured(
            lambda: refused(stored, tmp_path, r"index: \d+ bytes with SHA-256 .*, its manifest says 5 with")
        )
        assert 16 << 20 > peak

    def test_a_manifest_that_grew_since_it_was_listed(self, put, tmp_path):
        """No more than 4 MiB are kept of it."""
        stored = put()
        put.replace(f"3/{MANIFEST}", b" " * (64 << 20))
        assert 32 << 20 > measured(lambda: refused(stored, tmp_path, "manifest.json: has more than 4,194,304 bytes"))

    def test_a_list_of_millions(self, put, tmp_path):
        """As many files as a manifest of 4 MiB can name, and more than a version may have."""
        many = {f"{number:x}": {"bytes": 0, "sha256": "0"} for number in range(100_000)}
        stored = put(files=lambda files: {**files, **many})
        assert 128 << 20 > measured(lambda: refused(stored, tmp_path, "its manifest lists more than 10,000 files"))

    def test_a_nested_manifest(self, put, tmp_path):
        """Brackets in brackets are no manifest, and no traceback."""
        stored = put()
        put.replace(f"3/{MANIFEST}", b"[" * 1_000_000)
        refused(stored, tmp_path, "manifest.json cannot be read, or has another schema")


def refused(stored, tmp_path, message):
    """Pull it, in vain."""
    with pytest.raises(VerificationFailed, match=message):
        pull_version(stored, tmp_path / "served")
    assert [] == names_in(tmp_path / "served")


def measured(call) -> int:
    """The most memory that Python took for it, in bytes."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class TestManifests:
    """How much of one is read that lies in a tree."""

    def test_no_more_than_4_mib_are_read(self, tmp_path):
        """A good manifest with blanks behind it up to that size is one; with a byte more it is none."""
        version = write_version(tmp_path, 3)
        edit_manifest(version)  # without its checksum, which notices blanks, too
        content = (version / MANIFEST).read_bytes()
        (version / MANIFEST).write_bytes(content.ljust(manifests.MOST_MANIFEST_BYTES))
        assert read_manifest(version) is not None
        (version / MANIFEST).write_bytes(content.ljust(manifests.MOST_MANIFEST_BYTES + 1))
        assert read_manifest(version) is None

    def test_one_of_a_terabyte_takes_no_memory(self, tmp_path):
        """As a sparse file, which takes no disk either."""
        version = write_version(tmp_path, 3)
        os.truncate(version / MANIFEST, 1 << 40)
        assert 16 << 20 > measured(lambda: read_manifest(version))

    @pytest.mark.parametrize("content", ["[" * 1_000_000, '{"recipe":' * 100_000, '{"a": ' + "9" * 5000 + "}"])
    def test_deep_and_huge_ones_are_none(self, tmp_path, content):
        """And no traceback."""
        version = write_version(tmp_path, 3)
        (version / MANIFEST).write_text(content)
        assert read_manifest(version) is None

    def test_a_link_is_none(self, tmp_path):
        """Nor is a FIFO, which nobody waits for."""
        version = write_version(tmp_path, 3)
        (version / MANIFEST).rename(tmp_path / "manifest.json")
        (version / MANIFEST).symlink_to(tmp_path / "manifest.json")
        assert read_manifest(version) is None
        (version / MANIFEST).unlink()
        os.mkfifo(version / MANIFEST)
        assert read_manifest(version) is None


class TestForeign:
    """Versions without a manifest, and the checksums that were kept of them."""

    @pytest.mark.parametrize("harm", [links_out, folder_links_out])
    def test_no_link_is_taken_into_the_record(self, run_here, outside, harm):
        """Its bytes could be changed where nobody looks."""
        version = write_version(run_here.base, 3)
        harm(version, outside)
        (version / MANIFEST).unlink()
        promote = ["PromoteVersion", "--label", "stable", "--version", "3", "--wait-seconds", "0", "--allow-foreign"]
        assert LINKED in told(run_here(*promote, check=30))
        assert not (run_here.base.parent / "foreign.json").exists()

    def test_names_in_the_record_lead_nowhere(self, run_here, outside):
        """They are compared with what is there, and that is all."""
        version = write_version(run_here.base, 3)
        (version / MANIFEST).unlink()
        names = (os.path.relpath(outside / "variables.index", version), "a\0b", "")
        files = {name: {"bytes": 5, "sha256": "0"} for name in names}
        record = {str(run_here.base): {"3": files}}
        (run_here.base.parent / "foreign.json").write_text(json.dumps(record))
        result = run_here("VerifyVersions", "--versions", "3", check=30)
        assert "variables.index is missing" in result.stdout or "cannot be checked further" in result.stdout
        assert "Traceback" not in result.stderr


def test_escape_sequences_reach_no_terminal(run_here):
    """A name that would clear the screen, or write another line than the one that is there, is shown as what it is."""
    version = write_version(run_here.base, 3)
    (version / "\x1b[2J\x9b31mgood").touch()
    result = run_here("VerifyVersions", check=30)
    assert r"\x1b[2J\x9b31mgood was added" in result.stdout
    edit_manifest(version, recipe=lambda recipe: {**recipe, "model": "\x1b]0;title\x07"})
    result = run_here("VerifyVersions", check=30)
    assert not {"\x1b", "\x9b", "\x07"} & set(result.stdout + result.stderr)
