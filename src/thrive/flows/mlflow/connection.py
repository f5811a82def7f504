"""Talks to a server that speaks MLflow's protocol: a source of runs, or a registry to push to."""

import base64
import json
import os
import time
import urllib.error
import urllib.request
from http.client import HTTPResponse
from typing import Any

from thrive.domain.errors import Conflict, NotFound, Refused, StoreUnavailable, UsageError

API = "/api/2.0/mlflow/"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"
_TRIES = 4
_TIMEOUT_S = 120


class Connection:
    """One server; who asks is told by MLFLOW_TRACKING_TOKEN, or by _USERNAME and _PASSWORD.

    Args:
        url: its address.

    Raises:
        UsageError: the address is none of a server.
    """

    def __init__(self, url: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"{url!r} is no address of a server.", "give http://HOST:PORT")
        self._url = url.rstrip("/")
        self._headers = _headers()

    def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Return the object that the server answers; raises as `open` does."""
        with self.open(method, path, body) as answer:
            return json.load(answer)

    def open(self, method: str, path: str, body: Any) -> HTTPResponse:
        """Return an answer to be read: bytes are sent as they are, all else as JSON.

        Raises:
            Conflict: what was to be made is there already.
            NotFound: the server has no such thing.
            Refused: it asks for another token.
            StoreUnavailable: it does not answer, after some tries.
        """
        plain = isinstance(body, bytes)
        data = None if body is None else body if plain else json.dumps(body).encode()
        asked = urllib.request.Request(  # noqa: S310 - the user names a server's http address
            self._url + path, data, self._headers, method=method
        )
        for attempt in range(_TRIES):
            try:
                return urllib.request.urlopen(asked, timeout=_TIMEOUT_S)  # noqa: S310 - as above
            except urllib.error.HTTPError as error:
                _raise(error, path)
            except OSError as error:
                if attempt == _TRIES - 1:
                    raise StoreUnavailable(
                        f"{self._url} does not answer: {error}.", "start it, then call again"
                    ) from None
            time.sleep(2**attempt / 4)
        raise StoreUnavailable(f"{self._url} is too busy.", "call again: it goes on from here")


def _raise(error: urllib.error.HTTPError, path: str) -> None:
    """Raise what a refusal means; return for one that may pass."""
    if error.code in {408, 429, 500, 502, 503, 504}:
        return
    words = error.read(500).decode(errors="replace")
    if "RESOURCE_ALREADY_EXISTS" in words:
        raise Conflict(f"The server has it already: {words}.", "choose another name")
    if error.code in {401, 403}:
        raise Refused(f"The server refused {path[:80]}: {words}.", "set MLFLOW_TRACKING_TOKEN")
    raise NotFound(f"The server has no answer to {path[:80]}: {words}.", "is it MLflow's?")


def _headers() -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    if token:
        headers["Authorization"] = f"Bearer {token}"
    elif user:
        pair = f"{user}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    return headers
