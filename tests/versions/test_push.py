"""A version goes into a bucket: whole, once, and as its manifest says; on a folder and on S3."""

import pytest

from tasks.errors import VerificationFailed, VersionConflict
from tasks.storage import checksums
from tasks.storage.folder import FolderStore
from tasks.storage.object_store import open_store
from tasks.versions.bucket import look_up
from tasks.versions.push import is_pushed, push_version, withdraw_version
from tests.buckets import edit_manifest, write_version
from tests.conftest import read_tree

PB, CLAIM, DATA = "saved_model.pb", "assets.extra/manifest.json", "variables/variables.data-00000-of-00001"


class Recording(FolderStore):
    """A folder that notes what is created and deleted, and breaks off when it is told to."""

    def __init__(self, url):
        super().__init__(url)
        self.done, self.left = [], iter(range(99))

    def create(self, key, path, *, sha256, replace=False):
        if next(self.left, None) is None:
            raise KeyboardInterrupt
        created = super().create(key, path, sha256=sha256, replace=replace)
        self.done += [key] if created else []
        return created

    def delete(self, key):
        self.done.append(key)
        super().delete(key)


@pytest.fixture
def version(tmp_path):
    return write_version(tmp_path / "mnist", 3)


@pytest.fixture
def store(tmp_path):
    """An empty folder that stands for a bucket."""
    (tmp_path / "bucket").mkdir()
    return Recording(str(tmp_path / "bucket"))


@pytest.fixture(params=["folder", "s3"])
def any_store(request, store, s3):
    """An empty bucket of that kind."""
    return store if request.param == "folder" else open_store(s3.make_bucket(), s3.address)


def put(store, key, path):
    assert store.create(key, path, sha256=checksums.sha256(path))


class TestPushing:
    """One pusher."""

    def test_the_bucket_has_the_same_bytes(self, any_store, version):
        """Every file is there, with its content."""
        push_version(any_store, version, 3)
        stored = look_up(any_store, 3)
        assert is_pushed(stored, version)
        assert read_tree(version) == {name: b"".join(any_store.get(f"3/{name}")) for name in stored.entries}

    def test_the_manifest_is_first_and_saved_model_last(self, store, version):
        """So of two pushers one stops at once, and where `saved_model.pb` is, all is."""
        push_version(store, version, 3)
        assert [f"3/{CLAIM}", f"3/{PB}"] == [store.done[0], store.done[-1]]

    @pytest.mark.parametrize("done", range(5))
    def test_a_push_that_was_cut_off_is_completed(self, store, version, done):
        """After any number of objects it is no version, and the next push sends what is missing."""
        store.left = iter(range(done))
        with pytest.raises(KeyboardInterrupt):
            push_version(store, version, 3)
        assert not look_up(store, 3).is_whole
        store.left = iter(range(99))
        push_version(store, version, 3)
        assert is_pushed(look_up(store, 3), version)
        assert len(store.done) == len(set(store.done)) == len(read_tree(version))

    def test_a_second_push_creates_nothing(self, any_store, version):
        """It finds what is there."""
        push_version(any_store, version, 3)
        push_version(any_store, version, 3)
        assert is_pushed(look_up(any_store, 3), version)

    def test_the_bytes_that_arrived_are_told(self, any_store, version):
        """Their sum is that of all files but the manifest, also of those that were there already."""
        put(any_store, f"3/{DATA}", version / DATA)
        moved = []
        push_version(any_store, version, 3, moved.append)
        total = sum(len(content) for name, content in read_tree(version).items() if name != CLAIM)
        assert total == sum(moved)


class TestOthers:
    """What is there already."""

    def test_another_recipe_is_a_conflict(self, any_store, version, tmp_path):
        """The line names the keys with both values, and nothing of the bucket is changed."""
        push_version(any_store, version, 3)
        other = write_version(tmp_path / "other", 3, seed=7)
        with pytest.raises(VersionConflict, match="3 is there with another recipe: seed is 0, asked for 7; nothing"):
            push_version(any_store, other, 3)
        assert not is_pushed(look_up(any_store, 3), other)
        assert is_pushed(look_up(any_store, 3), version)

    def test_another_recipe_has_a_number_from_its_manifest_on(self, store, version, tmp_path):
        """A push of another recipe that was cut off is named, too, and nothing of ours is written below it."""
        put(store, f"3/{CLAIM}", version / CLAIM)
        with pytest.raises(VersionConflict, match="a push was cut off, with another recipe: seed is 0, asked for 7"):
            push_version(store, write_version(tmp_path / "other", 3, seed=7), 3)
        assert [f"3/{CLAIM}"] == store.done

    def test_the_same_recipe_made_by_another_release(self, store, version, tmp_path):
        """Then the versions of what made them are named, or the files that differ."""
        push_version(store, version, 3)
        edit_manifest(version, made_with={"tensorflow": "3"})
        with pytest.raises(VersionConflict, match="made by other software: tensorflow is 2, asked for 3"):
            push_version(store, version, 3)
        with pytest.raises(VersionConflict, match=r"same recipe, but other bytes in variables/variables.data"):
            push_version(store, write_version(tmp_path / "other", 3, weights=b"others"), 3)

    def test_other_bytes_in_the_bucket_are_named(self, any_store, version, tmp_path):
        """An object of the right size with other bytes is found before the version becomes visible."""
        (tmp_path / "bad").write_bytes(bytes((version / DATA).stat().st_size))
        put(any_store, f"3/{DATA}", tmp_path / "bad")
        with pytest.raises(VerificationFailed, match=f"{DATA} has other bytes than its manifest says"):
            push_version(any_store, version, 3)
        assert not look_up(any_store, 3).is_whole

    def test_another_size_in_the_bucket_is_named(self, store, version, tmp_path):
        """Likewise one that is cut short, by both sizes."""
        (tmp_path / "bad").write_bytes(b"short")
        put(store, f"3/{DATA}", tmp_path / "bad")
        with pytest.raises(VerificationFailed, match=rf"{DATA} has 5 bytes, its manifest says 1500"):
            push_version(store, version, 3)

    def test_other_bytes_of_saved_model_are_named(self, store, version, tmp_path):
        """Also if somebody else's `saved_model.pb` is there before ours."""
        (tmp_path / "bad").write_bytes(b"GRAPH 0")
        put(store, f"3/{PB}", tmp_path / "bad")
        with pytest.raises(VerificationFailed, match=r"saved_model.pb has other bytes"):
            push_version(store, version, 3)

    def test_foreign_objects_keep_a_version_from_becoming_one(self, store, version):
        """What no manifest speaks of is named before `saved_model.pb` is created."""
        put(store, "3/saved_model.pbtxt", version / DATA)
        with pytest.raises(VerificationFailed, match=r"saved_model.pbtxt is none of the files in its manifest"):
            push_version(store, version, 3)
        assert not look_up(store, 3).is_whole


class TestHere:
    """Only what is right here goes to the bucket."""

    def test_a_changed_file(self, store, version):
        """A version that was damaged is not pushed, and nothing is created."""
        (version / DATA).write_bytes(b"x" * 1500)
        with pytest.raises(VerificationFailed, match=rf"{DATA} was changed: SHA-256"):
            push_version(store, version, 3)
        assert [] == store.done

    @pytest.mark.parametrize("name", [DATA, "variables"])
    def test_a_link(self, store, version, tmp_path, name):
        """A link, or a folder that is one, is refused though its bytes are right: they are another place's."""
        (version / name).rename(tmp_path / "elsewhere")
        (version / name).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(VerificationFailed, match="is a link; its bytes belong to another place"):
            push_version(store, version, 3)

    def test_no_version(self, store, tmp_path):
        """One that is not there, and one that was made elsewhere."""
        with pytest.raises(VerificationFailed, match="4: there is no such version"):
            push_version(store, tmp_path / "4", 4)
        (tmp_path / "4").mkdir()
        with pytest.raises(VerificationFailed, match="only versions that this pipeline has made can be pushed"):
            push_version(store, tmp_path / "4", 4)


class TestWithdrawing:
    """A version is taken out."""

    def test_saved_model_is_first_and_the_manifest_last(self, store, version):
        """So nothing that is left is taken for a version, and the number is its own until the end."""
        push_version(store, version, 3)
        store.done.clear()
        assert 5 == withdraw_version(store, 3)
        assert ["3.sig", f"3/{PB}", f"3/{CLAIM}"] == [*store.done[:2], store.done[-1]]
        assert [] == list(store.list())

    def test_a_folder_is_gone_with_its_last_file(self, store, version, tmp_path):
        """A server would take an empty one with a number for a version."""
        push_version(store, version, 3)
        withdraw_version(store, 3)
        assert [] == list((tmp_path / "bucket").iterdir())

    def test_the_number_is_free_afterwards(self, any_store, version, tmp_path):
        """Another recipe can have it."""
        push_version(any_store, version, 3)
        withdraw_version(any_store, 3)
        other = write_version(tmp_path / "other", 3, seed=7)
        push_version(any_store, other, 3)
        assert is_pushed(look_up(any_store, 3), other)
