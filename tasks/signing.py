"""Sign versions: whoever has the public key can tell that they are those that were found fit to be served.

SignVersions leaves `<version>.sig` beside each. VerifyVersions, PullVersions and PromoteVersion ask for it where they
are given a public key, by `--public-key` or by `[release] public_key` in luigi.cfg: see docs/signing.md.
"""

import logging
from pathlib import Path

from tasks.distribution import for_each
from tasks.errors import InvalidParameter, VerificationFailed
from tasks.storage import checksums, publishing
from tasks.versions import numbers, signing
from tasks.versions.numbers import format_versions
from tasks.versions.push import check_local
from tasks.versions.tree import compare_files
from tasks.wiring.parameters import FolderParameter, VersionsParameter
from tasks.wiring.progress import counted
from tasks.wiring.wanted_state import WantedStateTask

logger = logging.getLogger(__name__)


class SignVersions(WantedStateTask):
    """Versions of the tree bear a signature, made with a private key after all their checksums were compared."""

    shown = ("versions",)
    base_path = FolderParameter(default="models/mnist", description="the folder with the versions")
    versions = VersionsParameter(default=(), description="such as 1,2,3 or 1-10")
    private_key = FolderParameter(
        default="", description=f"file with an Ed25519 key; its passphrase, if it has one, in {signing.PASSPHRASE}"
    )

    def is_so(self) -> bool:
        return not self.find_missing()

    def change(self) -> str:
        missing, key, base_path = self.find_missing(), Path(self.private_key), Path(self.base_path)
        for_each(missing, lambda number: sign_version(base_path / str(number), number, key))
        if missing:
            logger.info("Signed %s in %s", format_versions(missing), base_path)
        return f"{counted(len(missing), 'version')} signed"

    def find_missing(self) -> list[int]:
        """The versions that are asked for and have no signature of this key; raises InvalidParameter."""
        if not self.versions:
            raise InvalidParameter(f"versions: none given; allowed are {numbers.ALLOWED}")
        if not self.private_key:
            raise InvalidParameter("private_key: none given; allowed is a file with an Ed25519 key in PEM")
        key, folders = Path(self.private_key), {number: Path(self.base_path, str(number)) for number in self.versions}
        return [number for number, folder in folders.items() if not signing.is_signed_by(folder, key)]


def sign_version(directory: Path, number: int, private_key: Path) -> None:
    """Put a signature beside a version that is what its manifest says, to the last file; raises VerificationFailed."""
    manifest = check_local(directory, number)
    for fault in compare_files(directory.name, manifest.files, checksums.list_files(directory)):
        raise VerificationFailed(f"{directory}: {fault.message}")
    publishing.publish_file(signing.signature_path(directory), signing.sign(directory, private_key))
