"""A version comes out of a bucket into a tree: whole and verified, or not at all."""

import json
import os

import pytest

from tasks.errors import VerificationFailed, VersionConflict
from tasks.storage import publishing
from tasks.storage.object_store import open_store
from tasks.versions.bucket import look_up
from tasks.versions.pull import fetch_wanted, is_pulled, pull_version, verify_stored
from tasks.versions.push import push_version
from tasks.versions.wanted_version import WantedVersion
from tests import small
from tests.buckets import edit_manifest, write_version
from tests.conftest import names_in, read_tree

PB, CLAIM, DATA = "saved_model.pb", "assets.extra/manifest.json", "variables/variables.data-00000-of-00001"


@pytest.fixture
def bucket(tmp_path):
    """A folder that stands for a bucket, with version 3 in it."""
    write_version(tmp_path / "bucket", 3)
    return open_store(str(tmp_path / "bucket"))


@pytest.fixture
def base_path(tmp_path):
    return tmp_path / "served" / "mnist"


class TestPulling:
    """What arrives."""

    @pytest.mark.parametrize("kind", ["folder", "s3"])
    def test_the_same_bytes_arrive(self, tmp_path, bucket, base_path, s3, kind):
        """Every file, and nothing else; the bytes of all files but the manifest are told."""
        store, moved = bucket, []
        if kind == "s3":
            store = open_store(s3.make_bucket(), s3.address)
            push_version(store, tmp_path / "bucket" / "3", 3)
        pull_version(look_up(store, 3), base_path, moved.append)
        assert read_tree(tmp_path / "bucket") == read_tree(base_path)
        assert sum(len(content) for name, content in read_tree(base_path).items() if CLAIM not in name) == sum(moved)
        assert is_pulled(look_up(store, 3), base_path)

    def test_a_second_pull_reads_nothing(self, bucket, base_path):
        """What is here is left alone, inode and all."""
        pull_version(look_up(bucket, 3), base_path)
        before = (base_path / "3" / PB).stat().st_ino
        pull_version(look_up(bucket, 3), base_path)
        assert before == (base_path / "3" / PB).stat().st_ino

    def test_what_a_killed_pull_left_is_swept(self, bucket, base_path):
        """No reader has seen it, and the next pull removes it."""
        (base_path / publishing.aside_name("3", "0123abcd")).mkdir(parents=True)
        pull_version(look_up(bucket, 3), base_path)
        assert ["3"] == names_in(base_path)

    def test_foreign_objects_are_left_where_they_are(self, bucket, base_path, tmp_path):
        """What the manifest does not speak of is no part of the version."""
        (tmp_path / "bucket" / "3" / "notes.txt").write_text("added later")
        pull_version(look_up(bucket, 3), base_path)
        assert not (base_path / "3" / "notes.txt").exists()


class TestRefused:
    """What must not arrive: it is named, and nothing is visible here."""

    @pytest.fixture(autouse=True)
    def nothing_is_here(self, base_path):
        """After each of these tests, no version is."""
        yield
        assert [] == names_in(base_path)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (
                b"X" * 1500,
                r"variables.data-00000-of-00001: 1500 bytes with SHA-256 \w+..., its manifest says 1500 with",
            ),
            (b"X" * 1499, "variables.data-00000-of-00001 has 1499 bytes, its manifest says 1500"),
        ],
    )
    def test_other_bytes_than_the_manifest_says(self, bucket, base_path, tmp_path, content, message):
        """An object that was changed or cut short in the bucket."""
        (tmp_path / "bucket" / "3" / DATA).write_bytes(content)
        with pytest.raises(VerificationFailed, match=message):
            pull_version(look_up(bucket, 3), base_path)

    def test_more_bytes_than_were_listed(self, bucket, base_path, tmp_path):
        """An object that grows while it is read is not read to its end."""
        stored = look_up(bucket, 3)
        (tmp_path / "bucket" / "3" / DATA).write_bytes(b"X" * 5_000_000)
        with pytest.raises(VerificationFailed, match="its manifest says 1500"):
            pull_version(stored, base_path)

    def test_a_version_that_goes_meanwhile(self, bucket, base_path, tmp_path):
        """An object that was listed and is gone."""
        stored = look_up(bucket, 3)
        (tmp_path / "bucket" / "3" / DATA).unlink()
        with pytest.raises(VerificationFailed, match="was taken out meanwhile"):
            pull_version(stored, base_path)

    @pytest.mark.parametrize("name", ["../../../stolen", "/tmp/stolen"])
    def test_names_that_lead_elsewhere(self, bucket, base_path, tmp_path, name):
        """A manifest with `..` or an absolute name is not followed."""
        entry = {"bytes": 0, "sha256": "0" * 64}
        edit_manifest(tmp_path / "bucket" / "3", files=lambda files: {name: entry, **files})
        with pytest.raises(VerificationFailed, match="allowed are relative names without"):
            pull_version(look_up(bucket, 3), base_path)
        assert not os.path.lexists("/tmp/stolen")
        assert [] == list(tmp_path.rglob("stolen"))

    def test_a_version_of_another_number(self, bucket, base_path, tmp_path):
        """One that was copied in the bucket."""
        (tmp_path / "bucket" / "3").rename(tmp_path / "bucket" / "4")
        with pytest.raises(VerificationFailed, match="4: its manifest is that of version 3"):
            pull_version(look_up(bucket, 4), base_path)

    def test_a_push_that_was_cut_off(self, bucket, base_path, tmp_path):
        """Without `saved_model.pb` it is no version."""
        (tmp_path / "bucket" / "3" / PB).unlink()
        with pytest.raises(VerificationFailed, match="is no whole version"):
            pull_version(look_up(bucket, 3), base_path)


class TestInTheWay:
    """What is here already."""

    def test_another_recipe(self, bucket, base_path):
        """It is named with both values, and stays."""
        write_version(base_path, 3, seed=7)
        before = read_tree(base_path)
        with pytest.raises(
            VersionConflict, match="3 is there with another recipe: seed is 7, asked for 0; nothing was"
        ):
            pull_version(look_up(bucket, 3), base_path)
        assert before == read_tree(base_path)

    def test_a_damaged_one(self, bucket, base_path):
        """It is named, and not mended behind a server's back."""
        write_version(base_path, 3)
        (base_path / "3" / DATA).write_bytes(b"short")
        with pytest.raises(VersionConflict, match=r"damaged: variables/variables.data-00000-of-00001 has 5 bytes"):
            pull_version(look_up(bucket, 3), base_path)

    def test_one_that_was_made_elsewhere(self, bucket, base_path):
        """A folder of that number without a manifest."""
        (base_path / "3").mkdir(parents=True)
        with pytest.raises(VersionConflict, match=r"but has no assets.extra/manifest.json that can be read"):
            pull_version(look_up(bucket, 3), base_path)

    def test_one_that_was_taken_back(self, bucket, base_path):
        """It does not come back by itself."""
        (base_path / "3.denied").mkdir(parents=True)
        with pytest.raises(VersionConflict, match="was taken back, and does not come back by itself"):
            pull_version(look_up(bucket, 3), base_path)

    def test_another_pull_was_faster(self, bucket, base_path, monkeypatch):
        """The same version, there all of a sudden, is as good as one's own."""

        def come_first(*_, **__):
            write_version(base_path, 3)

        monkeypatch.setattr("tasks.versions.pull.fetch_version", come_first)
        pull_version(look_up(bucket, 3), base_path)
        assert is_pulled(look_up(bucket, 3), base_path)


class TestWanted:
    """A version that is going to be made, if the bucket does not have it."""

    @pytest.fixture
    def fetch(self, bucket, base_path, tmp_path):
        """Fetch version 3 as it is asked for into an empty folder; gives the manifest."""

        def fetch(**recipe):
            wanted = WantedVersion(base_path, 3, small.make_recipe(**recipe))
            (tmp_path / "aside").mkdir()
            return fetch_wanted(bucket, wanted, tmp_path / "aside")

        return fetch

    def test_it_is_there(self, fetch, tmp_path):
        """All its files are fetched."""
        assert 3 == fetch().model_version
        assert read_tree(tmp_path / "bucket" / "3") == read_tree(tmp_path / "aside")

    def test_another_recipe_is_there(self, fetch, tmp_path):
        """It is a conflict before a file is fetched."""
        with pytest.raises(VersionConflict, match="another recipe: seed is 0, asked for 7; nothing was overwritten"):
            fetch(seed=7)
        assert [] == names_in(tmp_path / "aside")

    def test_a_gate_it_does_not_pass(self, fetch):
        """The accuracy in its manifest is held against the one asked for."""
        with pytest.raises(VersionConflict, match=r"validation accuracy of 0.9000, below the min_accuracy of 0.95"):
            fetch(min_accuracy=0.95)

    @pytest.mark.parametrize("seed", [0, 7])
    def test_a_push_that_was_cut_off(self, fetch, tmp_path, seed):
        """The same recipe is not there yet; for another one, nothing needs to be trained."""
        (tmp_path / "bucket" / "3" / PB).unlink()
        if seed == 0:
            assert fetch(seed=seed) is None
        else:
            with pytest.raises(VersionConflict, match="seed is 0, asked for 7"):
                fetch(seed=seed)


class TestVerifying:
    """What is said about a version in a bucket."""

    def messages(self, bucket):
        return [fault.message for fault in verify_stored(look_up(bucket, 3)).faults]

    def test_a_good_one(self, bucket):
        """Nothing is wrong with it, and its manifest is known."""
        assert 3 == verify_stored(look_up(bucket, 3)).manifest.model_version
        assert [] == self.messages(bucket)

    def test_changed_missing_and_foreign_objects(self, bucket, tmp_path):
        """Each is named."""
        folder = tmp_path / "bucket" / "3"
        (folder / DATA).write_bytes(b"X" * 1500)
        (folder / "variables" / "variables.index").unlink()
        (folder / "notes.txt").write_text("")
        found = "; ".join(self.messages(bucket))
        assert "notes.txt was added: its manifest does not have it" in found
        assert f"{DATA} was changed: SHA-256" in found
        assert "variables/variables.index is missing" in found

    def test_a_manifest_that_may_not_be_followed(self, bucket, tmp_path):
        """It is an error of that version."""
        edit_manifest(tmp_path / "bucket" / "3", files={})
        assert ["its manifest lists no saved_model.pb"] == self.messages(bucket)

    def test_halves(self, bucket, tmp_path):
        """A push that was cut off, and a model that somebody else put there."""
        (tmp_path / "bucket" / "3" / PB).rename(tmp_path / "pb")
        assert ["is no version yet: an upload was cut off, or is going on; push it again"] == self.messages(bucket)
        (tmp_path / "pb").rename(tmp_path / "bucket" / "3" / PB)
        assert json.loads((tmp_path / "bucket" / "3" / CLAIM).read_text())
        (tmp_path / "bucket" / "3" / CLAIM).unlink()
        assert ["was made elsewhere: there are no checksums to compare with"] == self.messages(bucket)
