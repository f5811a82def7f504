"""Objects of a store (S3, GCS, Azure, HTTP) as files of a folder.

Keys and region come from the standard environment (`AWS_*`, `GOOGLE_*`, `AZURE_*`).
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from thrive.domain.errors import NotFound, Refused, StoreUnavailable, UsageError
from thrive.store.sources.kinds import known_kind

if TYPE_CHECKING:
    from obstore import ObjectMeta

_PART = 8 << 20
_REFUSALS = ("403 Forbidden", "AccessDenied", "SignatureDoesNotMatch", "InvalidAccessKeyId")


def mark(url: str, endpoint: str) -> str:
    """Return a hash of the names, sizes and etags of a URL's objects; "" if etags are missing."""
    found = list_objects(url, endpoint)
    if not all(each["e_tag"] for each in found):
        return ""
    words = [f"{each['path']}\0{each['size']}\0{each['e_tag']}" for each in found]
    from hashlib import blake2b

    return "etag:" + blake2b("\n".join(words).encode(), digest_size=16).hexdigest()


def list_objects(url: str, endpoint: str) -> "list[ObjectMeta]":
    """Return the objects of a URL that can be read as a table, by path: one, or all below it.

    Raises:
        NotFound: there is none.
        Refused: the store refuses our keys.
        StoreUnavailable: it does not answer.
    """
    import obstore

    store, key = _client(url, endpoint)
    with answering(url):
        if key and not key.endswith("/"):
            try:
                return [obstore.head(store, key)]
            except FileNotFoundError:
                key = f"{key}/"
        found = [each for page in obstore.list(store, key or None) for each in page]
    kept = [each for each in found if known_kind(Path(each["path"])) and not _hidden(each["path"])]
    if not kept:
        raise NotFound(f"There is no object to read at {url}.", "check the address")
    return sorted(kept, key=lambda each: each["path"])


def _hidden(path: str) -> bool:
    return any(part.startswith((".", "_")) for part in PurePosixPath(path).parts)


def copy(url: str, endpoint: str, folder: Path) -> None:
    """Copy the objects of a URL into a folder, under their names below it; with their times."""
    import obstore

    store, key = _client(url, endpoint)
    for each in list_objects(url, endpoint):
        path = each["path"]
        inside = (
            PurePosixPath(path).name if path == key else path[len(key.rstrip("/")) :].lstrip("/")
        )
        target = folder / _safe(inside, url)
        target.parent.mkdir(parents=True, exist_ok=True)
        with answering(url), target.open("wb") as file:
            for part in obstore.get(store, path).stream(min_chunk_size=_PART):
                file.write(part)
        moment = each["last_modified"].timestamp()
        os.utime(target, (moment, moment))


def _safe(name: str, url: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise UsageError(f"{url} holds the key {name!r}, which is no file name.", "rename it")
    return path


def fetch(url: str, endpoint: str, target: Path) -> None:
    """Copy one object into a file.

    Raises:
        NotFound: there is no such object.
    """
    import obstore

    store, key = _client(url, endpoint)
    with answering(url), target.open("wb") as file:
        try:
            for part in obstore.get(store, key).stream(min_chunk_size=_PART):
                file.write(part)
        except FileNotFoundError:
            raise NotFound(f"There is no object {url}.", "check the address") from None


def _client(url: str, endpoint: str) -> tuple[Any, str]:
    """Return a client for the bucket, or the host, of a URL, and the key in it."""
    from obstore.exceptions import BaseError
    from obstore.store import HTTPStore, S3Store, from_url

    parts = urlsplit(url)
    key = parts.path.lstrip("/")
    try:
        if parts.scheme in ("http", "https"):
            root = f"{parts.scheme}://{parts.netloc}"
            plain: Any = {"allow_http": parts.scheme == "http"}
            return HTTPStore.from_url(root, client_options=plain), key
        if parts.scheme == "s3":
            options: Any = {"allow_http": endpoint.startswith("http://")}
            config: Any = {"endpoint": endpoint} if endpoint else {}
            return S3Store(parts.netloc, config=config, client_options=options), key
        return from_url(f"{parts.scheme}://{parts.netloc}"), key
    except BaseError as error:
        raise UsageError(f"{url} is no address of an object store.", str(error)[:200]) from None


@contextmanager
def answering(url: str) -> Generator[None]:
    """Turn the client's errors into ours."""
    from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

    try:
        yield
    except (PermissionDeniedError, UnauthenticatedError):
        raise _refused(url) from None
    except FileNotFoundError:
        raise NotFound(f"There is nothing at {url}.", "check the address") from None
    except BaseError as error:
        if any(word in str(error) for word in _REFUSALS):  # a list that is refused has no type
            raise _refused(url) from None
        first = str(error).strip().split("\n", 1)[0][:200]
        raise StoreUnavailable(f"{url} does not answer: {first}.", "check the endpoint") from None


def _refused(url: str) -> Refused:
    return Refused(
        f"{url} refuses our credentials.", "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )
