"""Where objects are kept: the same five verbs on a folder, on S3 and on Google's store, all of them real servers."""

import builtins
import os
import subprocess
import sys

import pytest

from tasks.errors import BucketFailed, InvalidParameter
from tasks.storage import checksums, publishing
from tasks.storage.object_store import open_store, parse_url
from tests.conftest import ROOT, names_in


@pytest.fixture
def put(store, tmp_path):
    """Create an object with that content; gives whether it was created."""

    def create(key, content, **options):
        path = tmp_path / "content"
        path.write_bytes(content)
        return store.create(key, path, sha256=checksums.sha256(path), **options)

    return create


class TestVerbs:
    """What each store does, and nothing that only one can."""

    def test_what_was_created_is_read_back(self, store, put):
        """An object of several blocks and an empty one come back byte for byte, and are listed with their sizes."""
        content = os.urandom(3_000_001)
        assert put("1/variables/data", content)
        assert put("1/empty", b"")
        assert content == b"".join(store.get("1/variables/data"))
        assert b"" == b"".join(store.get("1/empty"))
        assert {"1/empty": 0, "1/variables/data": 3_000_001} == {entry.key: entry.bytes for entry in store.list()}

    def test_a_second_object_of_a_key_is_refused(self, store, put):
        """Only the first create is done, and the second says so; with `replace` it is."""
        assert [True, False] == [put("1/manifest", b"first"), put("1/manifest", b"second")]
        assert b"first" == b"".join(store.get("1/manifest"))
        assert put("1/manifest", b"third", replace=True)
        assert b"third" == b"".join(store.get("1/manifest"))

    def test_a_listing_is_of_a_prefix(self, store, put):
        """`1/` lists neither 10/ nor 2/, and an object of no version is listed with all."""
        for key in ("1/a", "1/b/c", "10/a", "2/a", "models.config"):
            put(key, b"x")
        assert ["1/a", "1/b/c"] == sorted(entry.key for entry in store.list("1/"))
        assert 5 == len(list(store.list()))

    def test_a_checksum_that_is_told_is_right(self, store, put):
        """MD5 and SHA-256 may be missing, but if a store tells one, it is that of the content."""
        put("1/a", b"content")
        for entry in (*store.list(), store.head("1/a")):
            assert entry.md5 in {None, "9a0364b9e99bb480dd25e1f0284c8555"}
            assert entry.sha256 in {None, "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"}
        assert store.head("1/a").md5 or store.head("1/a").sha256

    def test_what_is_not_there_is_told(self, store):
        """`head` gives None, `get` raises FileNotFoundError, and `delete` does nothing."""
        assert store.head("1/a") is None
        with pytest.raises(FileNotFoundError):
            b"".join(store.get("1/a"))
        store.delete("1/a")

    def test_a_deleted_object_is_gone(self, store, put):
        """Deleted once, it is neither listed nor read, and can be created again."""
        put("1/a/b", b"x")
        store.delete("1/a/b")
        assert [] == list(store.list())
        assert put("1/a/b", b"y")

    def test_a_bucket_that_is_not_there_is_told(self, store):
        """One line says which; it is not taken for an empty one."""
        missing = open_store(
            store.url.replace("models-", "no-models-").replace("/bucket", "/no-bucket"), _endpoint(store)
        )
        with pytest.raises(BucketFailed, match=r"there is no (such folder|bucket 'no-models-)"):
            list(missing.list())


class TestUrls:
    """Where a store is, as a person writes it."""

    @pytest.mark.parametrize(
        ("text", "url"),
        [
            ("s3://models/mnist/", "s3://models/mnist"),
            ("s3://models", "s3://models"),
            ("gs://my-models.example/a/b", "gs://my-models.example/a/b"),
            ("file:///srv/models/", "/srv/models"),
            ("/srv/./models/", "/srv/models"),
        ],
    )
    def test_there_is_one_way_to_write_it(self, text, url):
        """A slash at the end, `file://` and `.` make no other place of it."""
        assert url == parse_url(text)

    def test_a_plain_name_is_a_folder(self, tmp_path, monkeypatch):
        """It is made absolute, so that a task's id says where it is."""
        monkeypatch.chdir(tmp_path)
        assert f"{tmp_path}/models" == parse_url("models")

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "s3://",
            "s3:///x",
            "s3://a/../b",
            "s3://a//b",
            "s3://A b",
            "http://a/b",
            "az://a",
            "file://a",
            "s3://a/.",
        ],
    )
    def test_what_is_no_place_is_refused(self, text):
        """Other schemes, no bucket, and parts that lead elsewhere are named, with what is allowed."""
        with pytest.raises(
            InvalidParameter, match=r"allowed are s3://bucket/prefix, gs://bucket/prefix, file:///folder"
        ):
            parse_url(text)

    @pytest.mark.parametrize(("url", "package", "extra"), [("s3://a1", "boto3", "s3"), ("gs://a1", "google", "gcs")])
    def test_a_missing_package_names_its_extra(self, monkeypatch, url, package, extra):
        """Without boto3 or google-cloud-storage, the line says what to install."""
        for name in [name for name in sys.modules if name in {"tasks.storage.s3", "tasks.storage.gcs"}]:
            monkeypatch.delitem(sys.modules, name)
        real = builtins.__import__

        def refuse(name, *arguments, **keywords):
            if name.partition(".")[0] == package:
                raise ModuleNotFoundError(name)
            return real(name, *arguments, **keywords)

        monkeypatch.setattr(builtins, "__import__", refuse)
        with pytest.raises(InvalidParameter, match=rf"needs the extra {extra}: pip install -e '\.\[{extra}\]'"):
            open_store(url)

    def test_a_folder_loads_no_package(self, tmp_path):
        """Whoever pushes to a folder pays for neither boto3 nor google-cloud-storage."""
        code = (
            "import sys; from tasks.storage.object_store import open_store; open_store(sys.argv[1]); "
            "sys.exit(str({'boto3', 'google.cloud'} & set(sys.modules) or 0))"
        )
        result = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, capture_output=True, check=False)
        assert b"0\n" == result.stderr


def _endpoint(store) -> str:
    return getattr(store, "_endpoint_url", None) or ""


def test_a_listing_of_a_folder_takes_away_what_a_killed_process_left(tmp_path):
    """Half an upload, and folders that hold nothing; not what a live process writes, nor a folder of others."""
    store = open_store(str(tmp_path))
    left = tmp_path / publishing.aside_name("saved_model.pb", "01234567")
    for folder in (left, tmp_path / "1" / "variables", tmp_path / "2", tmp_path / "mine"):
        folder.mkdir(parents=True)
    (left / "saved_model.pb").write_bytes(b"half")
    (tmp_path / "2" / "manifest").write_bytes(b"x")
    with publishing.scratch_directory(tmp_path / "manifest") as aside:
        assert ["2/manifest"] == [entry.key for entry in store.list()]
        assert [aside.name, "2", "mine"] == names_in(tmp_path)
    store.delete("2/manifest")
    left.mkdir()
    assert [] == list(store.list("3/"))  # whoever looks at one version alone leaves no half upload, either
    assert ["mine"] == names_in(tmp_path)
