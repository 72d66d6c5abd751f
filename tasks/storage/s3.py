"""Amazon's S3, and whatever else speaks its protocol. Imported by `open_store` alone, as it imports boto3."""

import base64
import contextlib
import os
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from tasks.errors import BucketFailed, InvalidParameter
from tasks.storage.object_store import ATTEMPTS, BLOCK, CONNECT_SECONDS, READ_SECONDS, Entry

CONNECTIONS = 16
MISSING = {"NoSuchKey", "404", "NotFound"}
TAKEN = {"PreconditionFailed", "412"}
AT_THE_SAME_TIME = "ConditionalRequestConflict"  # S3's word for: another create of this key is going on, ask again


class S3Store:
    """See `tasks.storage.object_store.ObjectStore`; `create` needs a store that knows `If-None-Match: *`."""

    def __init__(self, url: str, bucket: str, prefix: str, endpoint_url: str | None) -> None:
        self.url = url
        self._bucket, self._prefix, self._endpoint_url = bucket, prefix, endpoint_url

    @property
    def _client(self) -> Any:
        """One client a process: it is safe in threads, but two processes must not share its connections."""
        return _make_client(self._endpoint_url, os.getpid())

    def list(self, prefix: str = "") -> Iterator[Entry]:
        with self._told():
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix):
                for found in page.get("Contents", ()):
                    yield Entry(found["Key"].removeprefix(self._prefix), found["Size"], md5=found["ETag"].strip('"'))

    def head(self, key: str) -> Entry | None:
        try:
            with self._told(key):
                found = self._client.head_object(**self._named(key), ChecksumMode="ENABLED")
        except FileNotFoundError:
            return None
        sha256 = found.get("ChecksumSHA256")
        is_whole = found.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT"  # not a checksum of parts' checksums
        sha256 = base64.b64decode(sha256).hex() if sha256 and is_whole else None
        return Entry(key, found["ContentLength"], md5=found["ETag"].strip('"'), sha256=sha256)

    def get(self, key: str) -> Iterator[bytes]:
        """A connection that breaks in the middle is taken up where it broke, as long as the object is the same."""
        done, failures = 0, 0
        rest: dict[str, str] = {}
        while True:
            with self._told(key):
                answer = self._client.get_object(**self._named(key), **rest)
            try:
                for block in answer["Body"].iter_chunks(BLOCK):
                    done += len(block)
                    yield block
            except (IncompleteReadError, ReadTimeoutError, ResponseStreamingError) as error:
                failures += 1
                if failures == ATTEMPTS:
                    raise BucketFailed(f"{self.url}/{key}: the connection broke {ATTEMPTS} times: {error}") from error
                time.sleep(2**failures / 4)
                rest = {"Range": f"bytes={done}-", "IfMatch": answer["ETag"]}
            except BotoCoreError as error:  # S3's own checksum, if it has one, is compared at the end
                raise BucketFailed(f"{self.url}/{key}: {error}") from error
            else:
                return

    def create(self, key: str, path: Path, *, sha256: str, replace: bool = False) -> bool:
        condition = {} if replace else {"IfNoneMatch": "*"}
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        for attempt in range(ATTEMPTS):
            with self._told(key):
                try:
                    with path.open("rb") as body:
                        self._client.put_object(**self._named(key), Body=body, ChecksumSHA256=checksum, **condition)
                except ClientError as error:
                    code = error.response["Error"]["Code"]
                    if code in TAKEN and not replace:
                        return False
                    if code != AT_THE_SAME_TIME or attempt == ATTEMPTS - 1:
                        raise
                    time.sleep(2**attempt / 4)
                else:
                    return True
        raise AssertionError  # the last attempt has returned or raised

    def delete(self, key: str) -> None:
        with self._told(key):
            self._client.delete_object(**self._named(key))

    def _named(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    @contextlib.contextmanager
    def _told(self, key: str = "") -> Iterator[None]:
        """Tell in one line what S3 or the way to it refuses; a missing object is a FileNotFoundError."""
        where = f"{self.url}/{key}" if key else self.url
        at = f" at {self._endpoint_url}" if self._endpoint_url else ""
        try:
            yield
        except ClientError as error:
            code, said = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
            if code in MISSING:
                raise FileNotFoundError(where) from error
            if code == "NoSuchBucket":
                raise BucketFailed(f"{self.url}: there is no bucket {self._bucket!r}{at}") from error
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            tries = error.response["ResponseMetadata"].get("RetryAttempts", 0) + 1
            after = f", after {tries} attempts" if tries > 1 else ""
            raise BucketFailed(f"{where}: refused{at} with {status} {code}{after}: {said}") from error
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise BucketFailed(
                f"{self.url}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE ({error})"
            ) from error
        except BotoCoreError as error:
            raise BucketFailed(f"{where}: failed{at}: {error}") from error


@lru_cache(maxsize=8)
def _make_client(endpoint_url: str | None, process: int) -> Any:  # noqa: ARG001 - what the cache tells apart
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=CONNECTIONS,
    )
    try:
        return boto3.session.Session().client("s3", endpoint_url=endpoint_url, config=config)
    except (BotoCoreError, ValueError) as error:  # a profile that is not there, an address that is none
        raise InvalidParameter(f"endpoint_url {endpoint_url or ''!r}: {error}") from error
