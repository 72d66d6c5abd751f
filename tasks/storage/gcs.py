"""Google Cloud Storage. Imported by `open_store` alone, as it imports google-cloud-storage.

With `STORAGE_EMULATOR_HOST=http://host:port` in the environment, the package speaks to that instead of to Google.
"""

import base64
import contextlib
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import requests
from google.api_core.exceptions import GoogleAPICallError, NotFound, PreconditionFailed, RetryError
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY

from tasks.errors import BucketFailed
from tasks.storage.object_store import ATTEMPTS, BLOCK, CONNECT_SECONDS, READ_SECONDS, Entry

TIMEOUT = (CONNECT_SECONDS, READ_SECONDS)
CHUNK = 8 * BLOCK  # of one request that reads
RETRY = DEFAULT_RETRY.with_timeout(ATTEMPTS * READ_SECONDS)


class GcsStore:
    """See `tasks.storage.object_store.ObjectStore`; Google keeps no SHA-256, so that `head` has none."""

    def __init__(self, url: str, bucket: str, prefix: str) -> None:
        self.url = url
        self._bucket, self._prefix = bucket, prefix

    def list(self, prefix: str = "") -> Iterator[Entry]:
        with self._told(missing=f"{self.url}: there is no bucket {self._bucket!r}"):
            for blob in _client(os.getpid()).list_blobs(
                self._bucket, prefix=self._prefix + prefix, timeout=TIMEOUT, retry=RETRY
            ):
                yield self._entry(blob)

    def head(self, key: str) -> Entry | None:
        with self._told(key):
            blob = self._blob(key).bucket.get_blob(self._prefix + key, timeout=TIMEOUT, retry=RETRY)
        return blob and self._entry(blob)

    def get(self, key: str) -> Iterator[bytes]:
        with self._told(key), self._blob(key).open("rb", chunk_size=CHUNK, timeout=TIMEOUT, retry=RETRY) as stream:
            while block := stream.read(CHUNK):
                yield block

    def create(self, key: str, path: Path, *, sha256: str, replace: bool = False) -> bool:  # noqa: ARG002 - not kept there
        with self._told(key):
            try:
                with path.open("rb") as stream:
                    self._blob(key).upload_from_file(
                        stream,
                        size=path.stat().st_size,  # a small file of known size goes in one request
                        checksum="crc32c",
                        if_generation_match=None if replace else 0,
                        timeout=TIMEOUT,
                        retry=RETRY,
                    )
            except PreconditionFailed:
                return False
        return True

    def delete(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._told(key):
            self._blob(key).delete(timeout=TIMEOUT, retry=RETRY)

    def _blob(self, key: str) -> Any:
        return _client(os.getpid()).bucket(self._bucket).blob(self._prefix + key)

    def _entry(self, blob: Any) -> Entry:
        md5 = base64.b64decode(blob.md5_hash).hex() if blob.md5_hash else None
        return Entry(blob.name.removeprefix(self._prefix), int(blob.size), md5=md5)

    @contextlib.contextmanager
    def _told(self, key: str = "", missing: str = "") -> Iterator[None]:
        """Tell in one line what Google or the way to it refuses; a missing object is a FileNotFoundError."""
        where = f"{self.url}/{key}" if key else self.url
        try:
            yield
        except NotFound as error:
            if missing:
                raise BucketFailed(missing) from error
            raise FileNotFoundError(where) from error
        except GoogleAPICallError as error:
            raise BucketFailed(f"{where}: refused with {error.code} {error.message}") from error
        except GoogleAuthError as error:
            raise BucketFailed(f"{self.url}: no credentials; set GOOGLE_APPLICATION_CREDENTIALS ({error})") from error
        except (RetryError, DataCorruption, requests.RequestException) as error:
            raise BucketFailed(f"{where}: no answer: {error}") from error


@lru_cache(maxsize=8)
def _client(process: int) -> Any:  # noqa: ARG001 - two processes must not share a client's connections
    try:
        return storage.Client()
    except GoogleAuthError as error:
        raise BucketFailed(f"gs://: no credentials; set GOOGLE_APPLICATION_CREDENTIALS ({error})") from error
