"""Signatures of versions: by whom a version was found fit to be served, whatever way it has come since.

`<base path>/<N>.sig` lies beside version N, not in it: what a version holds is the same wherever it is made. It is 64
bytes, Ed25519 (RFC 8032) over the SHA-256 of the manifest's bytes. A manifest has the SHA-256 of every other file and
the version's number, so whoever changes, adds, leaves out or renumbers something needs the private key to hide it.

Raises:
    InvalidParameter: every function that takes a key, if that cannot be used; the text says why.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import InvalidParameter
from tasks.storage.files import open_regular
from tasks.versions.manifest import read_text
from tasks.versions.tree import SIGNATURE

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

LENGTH = 64  # bytes
PASSPHRASE = "MNIST_SIGNING_PASSPHRASE"  # noqa: S105 - the name of an environment variable
MOST_KEY_BYTES = 1 << 16
BLOCK = re.compile(rb"-----BEGIN ([A-Z ]+)-----\n.*?-----END \1-----", re.DOTALL)  # of PEM
NO_EXTRA = "needs the extra sign: pip install -e '.[sign]'"


def signature_path(directory: Path) -> Path:
    """Where the signature of a version lies."""
    return directory.with_name(f"{directory.name}{SIGNATURE}")


def read_signature(directory: Path) -> bytes | None:
    """The signature of a version, whatever it is worth; None if there is none."""
    try:
        with open_regular(signature_path(directory), follow=False) as stream:
            return stream.read(LENGTH + 1)
    except OSError:
        return None


def sign(directory: Path, private_key: Path) -> bytes:
    """A signature for what the manifest of a version says now; raises OSError if there is no manifest."""
    return _load_private_key(private_key).sign(_digest(read_text(directory)))


def is_signed_by(directory: Path, private_key: Path) -> bool:
    """Whether the signature of a version is the one that this key makes: of Ed25519, there is but one."""
    try:
        return sign(directory, private_key) == read_signature(directory)
    except OSError:
        return False


def find_flaw(directory: Path, public_key: Path) -> str | None:
    """Why a version does not count as signed by one of the keys in a file; None if it does."""
    try:
        text = read_text(directory)
    except OSError:
        text = None
    return find_flaw_of(directory.name, text, read_signature(directory), public_key)


def find_flaw_of(name: str, manifest: bytes | None, signature: bytes | None, public_key: Path) -> str | None:
    """The same of a version wherever it lies, by the bytes of its manifest and of its signature, if it has them."""
    keys = load_public_keys(public_key)
    if manifest is None:
        return "is not signed, and cannot be: it has no manifest"
    if signature is None:
        return f"is not signed: there is no {name}{SIGNATURE}"
    if not any(_verifies(key, signature, _digest(manifest)) for key in keys):
        return f"{name}{SIGNATURE} does not verify: it is not by {public_key}, or the manifest was changed since"
    return None


def find_public_key(path: str) -> Path | None:
    """The file that a parameter names, if it names one: whatever is wrong with it is no fault of a version."""
    if not path:
        return None
    load_public_keys(Path(path))
    return Path(path)


def load_public_keys(path: Path) -> list[Ed25519PublicKey]:
    """The keys in a PEM file, of which any may have signed: two of them while one takes the other's place."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ModuleNotFoundError as error:
        raise InvalidParameter(f"public_key {path}: {NO_EXTRA}") from error
    text = _read_key("public_key", path)
    try:
        keys = [load_pem_public_key(block[0]) for block in BLOCK.finditer(text)]
    except (ValueError, UnsupportedAlgorithm):
        keys = []
    found = [key for key in keys if isinstance(key, Ed25519PublicKey)]
    if not found or len(found) < len(keys):
        raise InvalidParameter(
            f"public_key {path}: holds something else; allowed are Ed25519 public keys in PEM, as openssl pkey -pubout "
            "writes them"
        )
    return found


def _load_private_key(path: Path) -> Ed25519PrivateKey:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ModuleNotFoundError as error:
        raise InvalidParameter(f"private_key {path}: {NO_EXTRA}") from error
    text, passphrase = _read_key("private_key", path), os.environ.get(PASSPHRASE)
    is_encrypted = b"ENCRYPTED" in text
    if is_encrypted and not passphrase:
        raise InvalidParameter(f"private_key {path}: is encrypted; put its passphrase into the variable {PASSPHRASE}")
    try:
        key = load_pem_private_key(text, (passphrase or "").encode() if is_encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        hint = f", or {PASSPHRASE} is not its passphrase" if is_encrypted else ""
        raise InvalidParameter(f"private_key {path}: {_allowed()}{hint}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidParameter(f"private_key {path}: {_allowed()}")
    return key


def _allowed() -> str:
    return "holds something else; allowed is an Ed25519 key in PEM, as openssl genpkey -algorithm ed25519 makes it"


def _read_key(name: str, path: Path) -> bytes:
    try:
        with open_regular(path) as stream:
            return stream.read(MOST_KEY_BYTES)
    except OSError as error:
        raise InvalidParameter(f"{name} {path}: cannot be read: {error.strerror}") from error


def _verifies(key: Ed25519PublicKey, signature: bytes, digest: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, digest)
    except InvalidSignature:
        return False
    return True


def _digest(manifest: bytes) -> bytes:
    return hashlib.sha256(manifest).digest()
