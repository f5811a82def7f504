"""From an address to a blob store."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

import msgspec

from thrive.domain.errors import UsageError
from thrive.store.blobs.folder import FolderBlobs
from thrive.store.blobs.objects import ObjectBlobs
from thrive.store.blobs.port import BlobStore

if TYPE_CHECKING:
    from obstore.store import S3Config


class ObjectOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach an object store; a field left empty is taken from the AWS environment.

    Attributes:
        endpoint: address of the service, for stores other than AWS.
        region: region of the bucket.
        access_key: name of the key.
        secret_key: the key itself.
        cache: folder for checked local copies; None keeps them only as long as the process.
        max_retries: how often a request is tried again.
        timeout_s: seconds a request and its retries may take together.
    """

    endpoint: str = ""
    region: str = ""
    access_key: str = ""
    secret_key: str = ""
    cache: Path | None = None
    max_retries: int = 8
    timeout_s: float = 60.0

    def __repr__(self) -> str:
        return f"ObjectOptions(endpoint={self.endpoint!r}, cache={self.cache!r})"


def open_blobs(address: str | Path, options: ObjectOptions | None = None) -> BlobStore:
    """Return the blob store at `address`.

    Args:
        address: a folder, or `s3://bucket/prefix`.
        options: how to reach an object store; a folder needs none.

    Raises:
        UsageError: the address has a scheme without a blob store behind it.
    """
    if isinstance(address, Path) or "://" not in address:
        return FolderBlobs(Path(address))
    url = urlsplit(address)
    if url.scheme != "s3" or not url.netloc:
        raise UsageError(
            f"{address!r} is not an address for blobs.", "give a folder or s3://bucket/prefix"
        )
    return _open_bucket(url, options or ObjectOptions())


def _open_bucket(url: SplitResult, options: ObjectOptions) -> ObjectBlobs:
    from obstore.store import S3Store

    seconds = timedelta(seconds=options.timeout_s)
    store = S3Store(
        url.netloc,
        prefix=url.path.strip("/") or None,
        config=_config(options),
        client_options={
            "allow_http": options.endpoint.startswith("http://"),
            "connect_timeout": min(seconds, timedelta(seconds=5)),
            "timeout": seconds,
        },
        retry_config={"max_retries": options.max_retries, "retry_timeout": seconds},
    )
    return ObjectBlobs(store, f"s3://{url.netloc}{url.path.rstrip('/')}", options.cache)


def _config(options: ObjectOptions) -> "S3Config":
    given: S3Config = {}
    if options.endpoint:
        given["endpoint"] = options.endpoint
    if options.region:
        given["region"] = options.region
    if options.access_key:
        given["access_key_id"] = options.access_key
    if options.secret_key:
        given["secret_access_key"] = options.secret_key
    return given
