"""What versions a bucket holds, read off a listing, and which manifests must not be followed."""

import pytest

from tasks.errors import BucketFailed, VerificationFailed
from tasks.storage.object_store import MOST_BYTES, Entry, open_store
from tasks.versions import bucket, manifest
from tasks.versions.bucket import find_harm, find_stored, look_up
from tasks.versions.manifest import read_manifest
from tests.buckets import edit_manifest, write_version

PB, CLAIM = "saved_model.pb", "assets.extra/manifest.json"
DIGEST = "0" * 64


class Listing:
    """A store of which only the listing matters."""

    url = "s3://models/mnist"

    def __init__(self, *keys):
        self.keys = keys

    def list(self, prefix=""):
        return iter([Entry(key, 1) for key in self.keys if key.startswith(prefix)])


class TestListing:
    """Which versions there are."""

    def test_versions_are_in_order(self):
        """By number, not by text, and each with its own objects."""
        found = find_stored(Listing(f"10/{PB}", f"9/{PB}", f"9/{CLAIM}"))
        assert [9, 10] == list(found)
        assert {PB, CLAIM} == set(found[9].entries)

    def test_other_names_are_no_versions(self):
        """Neither the config file, nor numbers as we do not write them, nor the mark for an empty folder."""
        keys = (
            "models.config",
            f"007/{PB}",
            f"0/{PB}",
            f"-1/{PB}",
            f"{2**63}/{PB}",
            f"5.denied/{PB}",
            "3/",
            f"x/1/{PB}",
        )
        assert {} == find_stored(Listing(*keys))

    def test_a_signature_is_found_beside_its_version(self):
        """It is no file of the version, and no version of its own."""
        found = find_stored(Listing(f"3/{PB}", "3.sig", "4.sig", "5.sig/x"))
        assert [3] == list(found)
        assert ({PB}, "3.sig") == (set(found[3].entries), found[3].signature.key)

    def test_a_listing_without_an_end_is_given_up(self, monkeypatch):
        """It would fill the memory; one line says where."""
        monkeypatch.setattr(bucket, "MOST_OBJECTS", 3)
        assert [1] == list(find_stored(Listing("1/a", "1/b", "1/c")))
        for look in (find_stored, lambda store: look_up(store, 1)):
            with pytest.raises(BucketFailed, match="s3://models/mnist: holds more than 3 objects; is it the right"):
                look(Listing("1/a", "1/b", "1/c", "1/d"))

    @pytest.mark.parametrize(("keys", "whole"), [((PB, CLAIM), True), ((CLAIM,), False), ((PB,), False), ((), False)])
    def test_a_version_is_whole_with_its_first_and_its_last_object(self, keys, whole):
        """The manifest alone is a push that was cut off; `saved_model.pb` alone was put there by somebody else."""
        assert whole == look_up(Listing(*(f"3/{key}" for key in keys)), 3).is_whole

    def test_the_mark_for_a_folder_is_no_file(self):
        """`3/` without a name is left there by browsers of buckets."""
        assert {PB} == set(look_up(Listing("3/", f"3/{PB}"), 3).entries)


class TestManifests:
    """What a manifest that came from elsewhere may say."""

    @pytest.fixture
    def version(self, tmp_path):
        """A version that is as it should be."""
        return write_version(tmp_path / "mnist", 3)

    def test_an_ordinary_one_may_be_followed(self, version):
        """There is nothing wrong with what this pipeline writes."""
        assert find_harm(3, read_manifest(version)) is None

    @pytest.mark.parametrize(
        "name",
        [
            "../x",
            "a/../../x",
            "/etc/passwd",
            "",
            "a//b",
            "./a",
            "a/.",
            "a\\b",
            "a\nb",
            "a\0b",
            "\x9b31m",
            "\ud800",
            "x" * 256,
            "é" * 128,
            "/".join(["a" * 100] * 11),
            "a/" * 32 + "a",
            CLAIM,
            "variables",
        ],
    )
    def test_names_that_lead_elsewhere_are_refused(self, version, name):
        """Absolute ones, `..`, control characters, the manifest's own, and one that is another one's folder."""
        edit_manifest(version, files=lambda files: {**files, name: {"bytes": 1, "sha256": DIGEST}})
        harm = find_harm(3, read_manifest(version))
        assert harm.startswith(f"its manifest names the file {name[:255]!r}"[:-1])
        assert harm.endswith("; allowed are relative names without '..'")

    def test_a_file_is_no_folder_of_another_one(self, version):
        """However far below it that is."""
        below = {f"{PB}/a/b": {"bytes": 1, "sha256": DIGEST}}
        edit_manifest(version, files=lambda files: {**files, **below})
        assert f"its manifest names the file {PB!r}; allowed" in find_harm(3, read_manifest(version))

    @pytest.mark.parametrize(
        "entry",
        [
            {"bytes": 1, "sha256": DIGEST, "link": "/etc/passwd"},
            {"link": "/etc/passwd"},
            "text",
            None,
            {"bytes": -1, "sha256": DIGEST},
            {"bytes": True, "sha256": DIGEST},
            {"bytes": 1.5, "sha256": DIGEST},
            {"bytes": "1", "sha256": DIGEST},
            {"bytes": 1, "sha256": None},
            {"bytes": 1},
        ],
    )
    def test_what_says_more_or_less_is_no_manifest(self, version, entry):
        """A file has a size and a SHA-256, and is no link: whoever reads a manifest may rely on that."""
        edit_manifest(version, files=lambda files: {**files, "x": entry})
        assert read_manifest(version) is None

    @pytest.mark.parametrize(
        ("entry", "message"),
        [
            ({"bytes": MOST_BYTES + 1, "sha256": DIGEST}, "allowed are 0 to 5,368,709,120"),
            ({"bytes": 1, "sha256": "F" * 64}, "gives x no SHA-256"),
        ],
    )
    def test_entries_are_bounded(self, version, entry, message):
        """Sizes that nobody has, and files without a checksum are named."""
        edit_manifest(version, files=lambda files: {**files, "x": entry})
        assert message in find_harm(3, read_manifest(version))

    @pytest.mark.parametrize(
        ("files", "message"),
        [
            ({}, "lists no saved_model.pb"),
            ({"a": {"bytes": 1, "sha256": DIGEST}}, "lists no saved_model.pb"),
        ],
    )
    def test_the_list_is_one(self, version, files, message):
        """Without files, or without the one that a server looks for, there is no version."""
        edit_manifest(version, files=files)
        assert message in find_harm(3, read_manifest(version))

    def test_a_list_is_not_endless(self, version, monkeypatch):
        """More files than any version has are refused."""
        monkeypatch.setattr(manifest, "MOST_FILES", 3)
        monkeypatch.setattr(manifest, "_examine", manifest._examine.__wrapped__)  # the answer is kept by names alone
        assert "its manifest lists more than 3 files" == find_harm(3, read_manifest(version))

    def test_a_name_of_a_million_folders_takes_no_time(self, version):
        """Nor the memory for all of their paths."""
        edit_manifest(version, files=lambda files: {**files, "a/" * 1_000_000 + "a": {"bytes": 1, "sha256": DIGEST}})
        assert f"{'a/' * 127}a...'" in find_harm(3, read_manifest(version))

    def test_the_number_is_its_own(self, version):
        """A version that was copied under another number is refused."""
        assert "its manifest is that of version 3" == find_harm(4, read_manifest(version))

    def test_an_endless_manifest_is_not_read_to_its_end(self, version, monkeypatch):
        """No more than the limit is kept."""
        monkeypatch.setattr(bucket, "MOST_MANIFEST_BYTES", 10)
        with pytest.raises(VerificationFailed, match=r"3/assets.extra/manifest.json: has more than 10 bytes"):
            look_up(open_store(str(version.parent)), 3).read()

    def test_what_is_no_manifest_is_named(self, version):
        """A table that is a list, text that is none, and one that is gone."""
        stored = look_up(open_store(str(version.parent)), 3)
        edit_manifest(version, files=[])
        with pytest.raises(VerificationFailed, match="cannot be read, or has another schema"):
            stored.read()
        (version / CLAIM).write_text("{")
        with pytest.raises(VerificationFailed, match="cannot be read, or has another schema"):
            stored.read()
        (version / CLAIM).unlink()
        with pytest.raises(VerificationFailed, match="is not there, or was taken out meanwhile"):
            stored.read()
