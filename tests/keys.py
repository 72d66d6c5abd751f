"""Key pairs, made as docs/signing.md says: by openssl."""

import subprocess
from pathlib import Path


def make_keys(directory: Path, name: str = "release", passphrase: str = "") -> tuple[Path, Path]:
    """An Ed25519 key pair: the files with the private and the public key."""
    private, public = directory / f"{name}.key", directory / f"{name}.pub"
    cipher = ["-aes-256-cbc", "-pass", f"pass:{passphrase}"] if passphrase else []
    openssl("genpkey", "-algorithm", "ed25519", *cipher, "-out", private)
    opened = ["-passin", f"pass:{passphrase}"] if passphrase else []
    openssl("pkey", "-in", private, *opened, "-pubout", "-out", public)
    return private, public


def openssl(*arguments) -> bytes:
    """Run it; what it prints."""
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True).stdout
