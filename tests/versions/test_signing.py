"""Signatures: made with one key, held against another, and nothing that was changed since gets through."""

import hashlib
import os

import pytest

from tasks.errors import InvalidParameter
from tasks.versions import signing
from tasks.versions.manifest import MANIFEST
from tasks.versions.signing import LENGTH, find_flaw, is_signed_by, read_signature, sign, signature_path
from tests.buckets import edit_manifest, write_version
from tests.keys import make_keys, openssl


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A key pair."""
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def version(tmp_path, keys):
    """A version with its signature."""
    directory = write_version(tmp_path / "mnist", 3)
    signature_path(directory).write_bytes(sign(directory, keys[0]))
    return directory


class TestSignatures:
    """What verifies and what does not."""

    def test_what_is_signed_verifies(self, version, keys):
        """It lies beside the version, in 64 bytes, and a second one is the same."""
        assert find_flaw(version, keys[1]) is None
        assert LENGTH == (version.parent / "3.sig").stat().st_size
        assert is_signed_by(version, keys[0])

    def test_openssl_verifies_it_too(self, version, keys, tmp_path):
        """Nobody needs this package for that: it is Ed25519 over the SHA-256 of the manifest."""
        (tmp_path / "digest").write_bytes(hashlib.sha256((version / MANIFEST).read_bytes()).digest())
        signed = ["-sigfile", signature_path(version), "-rawin", "-in", tmp_path / "digest"]
        assert b"Verified Successfully" in openssl("pkeyutl", "-verify", "-pubin", "-inkey", keys[1], *signed)

    def test_a_changed_manifest_does_not(self, version, keys):
        """Whatever is changed in it; the checksums of all files are in it."""
        edit_manifest(version, made_with={"tensorflow": "3"})
        assert "3.sig does not verify: it is not by" in find_flaw(version, keys[1])
        assert not is_signed_by(version, keys[0])

    def test_a_signature_of_another_version_does_not(self, version, keys):
        """A number is in the manifest: the signature of one version says nothing about another."""
        other = write_version(version.parent, 4)
        signature_path(other).write_bytes(read_signature(version))
        assert "4.sig does not verify" in find_flaw(other, keys[1])

    def test_another_key_does_not(self, version, tmp_path):
        """Only the keys in the file count."""
        _, other = make_keys(tmp_path, "other")
        assert f"3.sig does not verify: it is not by {other}" in find_flaw(version, other)

    @pytest.mark.parametrize("content", [b"", b"x" * 63, b"x" * 64, b"x" * 65])
    def test_other_bytes_do_not(self, version, keys, content):
        """Too short, too long, or made up."""
        signature_path(version).write_bytes(content)
        assert "3.sig does not verify" in find_flaw(version, keys[1])

    @pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: path.symlink_to("elsewhere.sig"), None])
    def test_what_is_no_file_is_no_signature(self, version, keys, make):
        """A folder, a FIFO (which nobody waits for), a link to a good one, nothing."""
        path = signature_path(version)
        path.rename(path.with_name("elsewhere.sig"))
        if make:
            make(path)
        assert "is not signed: there is no 3.sig" == find_flaw(version, keys[1])

    def test_without_a_manifest_there_is_nothing_to_sign(self, version, keys):
        """A version that was made elsewhere."""
        (version / MANIFEST).unlink()
        assert "is not signed, and cannot be: it has no manifest" == find_flaw(version, keys[1])

    def test_either_key_of_a_file_counts(self, version, keys, tmp_path):
        """While a new key takes the place of an old one, the file holds both."""
        _, other = make_keys(tmp_path, "other")
        both = tmp_path / "both.pub"
        both.write_bytes(other.read_bytes() + keys[1].read_bytes())
        assert find_flaw(version, both) is None


class TestKeys:
    """Which files are keys; what is wrong is said in one line, with the name of the file."""

    def test_an_encrypted_key_needs_its_passphrase(self, version, tmp_path, monkeypatch):
        """It is read from the environment, where neither the list of processes nor Luigi's page shows it."""
        private, public = make_keys(tmp_path, "secret", passphrase="open sesame")
        with pytest.raises(InvalidParameter, match="is encrypted; put its passphrase into the variable MNIST_SIGNING"):
            sign(version, private)
        monkeypatch.setenv(signing.PASSPHRASE, "wrong")
        with pytest.raises(InvalidParameter, match="or MNIST_SIGNING_PASSPHRASE is not its passphrase"):
            sign(version, private)
        monkeypatch.setenv(signing.PASSPHRASE, "open sesame")
        signature_path(version).write_bytes(sign(version, private))
        assert find_flaw(version, public) is None

    def test_a_passphrase_that_nothing_needs_does_no_harm(self, version, keys, monkeypatch):
        """The variable may be set for another key."""
        monkeypatch.setenv(signing.PASSPHRASE, "open sesame")
        assert is_signed_by(version, keys[0])

    @pytest.mark.parametrize("kind", ["missing", "folder", "text", "cut", "private", "rsa", "mixed"])
    def test_what_is_no_public_key(self, version, keys, tmp_path, kind):
        """Nothing, a folder, another file, half a key, the private one, another kind, also beside a good one."""
        path = tmp_path / "wrong.pub"
        if kind == "folder":
            path.mkdir()
        elif kind in {"rsa", "mixed"}:
            openssl("genpkey", "-algorithm", "RSA", "-out", tmp_path / "rsa.key")
            openssl("pkey", "-in", tmp_path / "rsa.key", "-pubout", "-out", path)
            path.write_bytes(path.read_bytes() + (keys[1].read_bytes() if kind == "mixed" else b""))
        elif kind != "missing":
            good, private = keys[1].read_bytes(), keys[0].read_bytes()
            path.write_bytes({"text": b"hello", "cut": good[:60], "private": private}[kind])
        with pytest.raises(
            InvalidParameter, match=rf"^public_key {path}: (cannot be read: |holds something else; allow)"
        ):
            find_flaw(version, path)

    @pytest.mark.parametrize("kind", ["missing", "text", "public", "rsa"])
    def test_what_is_no_private_key(self, version, keys, tmp_path, kind):
        """Nothing, another file, the public key by mistake, another kind."""
        path = tmp_path / "wrong.key"
        if kind == "rsa":
            openssl("genpkey", "-algorithm", "RSA", "-out", path)
        elif kind != "missing":
            path.write_bytes({"text": b"hello", "public": keys[1].read_bytes()}[kind])
        with pytest.raises(
            InvalidParameter, match=rf"^private_key {path}: (cannot be read: |holds something else; allow)"
        ):
            sign(version, path)

    def test_without_the_extra_it_says_so(self, version, keys, monkeypatch):
        """What is to be installed is in the line."""
        monkeypatch.setitem(__import__("sys").modules, "cryptography.exceptions", None)
        with pytest.raises(InvalidParameter, match=r"public_key .*: needs the extra sign: pip install -e '\.\[sign\]'"):
            find_flaw(version, keys[1])
        with pytest.raises(InvalidParameter, match=r"private_key .*: needs the extra sign"):
            sign(version, keys[0])
