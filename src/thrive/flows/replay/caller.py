"""The caller of a replay: plain HTTP to the serving host, one connection kept open."""

import http.client
import time
from typing import Any
from urllib.parse import urlsplit

import msgspec

from thrive.domain.errors import InfrastructureError, StoreUnavailable, UsageError

_PATIENCE_SECONDS = 30.0


class Caller:
    """Sends requests to a model and returns the ids of its predictions.

    A serving host that is restarting is waited for; an answer that says the request is wrong
    ends the replay.

    Args:
        url: the serving host, e.g. `http://127.0.0.1:8100`.
        model: the model's name.
    """

    def __init__(self, url: str, model: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise UsageError(f"{url!r} is not an http address.", "e.g. http://127.0.0.1:8100")
        self._address = (parts.hostname, parts.port or 80)
        self._model = model
        self._connection: http.client.HTTPConnection | None = None
        self.retried = 0

    def predict(self, rows: list[dict[str, Any]], at: int) -> list[str]:
        """Send rows as asked at a moment; return a prediction id for each, in their order."""
        body = msgspec.json.encode({"rows": rows})
        headers = {"Content-Type": "application/json", "X-Thrive-Time": str(at)}
        answer = self._patiently("POST", f"/predict/{self._model}", body, headers)
        return [str(item["id"]) for item in answer["predictions"]]

    def wait_for_revision(self, revision: int) -> None:
        """Wait until the host routes by this revision of the model's routing table or newer.

        Raises:
            InfrastructureError: it did not within half a minute.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            answer = self._patiently("GET", "/health", b"", {})
            if answer.get("revisions", {}).get(self._model, -1) >= revision:
                return
            time.sleep(0.02)
        raise InfrastructureError(
            f"The serving host has not taken routing revision {revision} of {self._model}.",
            "look at the output of `thrive serve`",
        )

    def _patiently(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> dict[str, Any]:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return self._once(method, path, body, headers)
            except (OSError, http.client.HTTPException, StoreUnavailable) as error:
                self.close()
                self.retried += 1
                if time.monotonic() > deadline:
                    raise InfrastructureError(
                        f"No answer from http://{self._address[0]}:{self._address[1]}: {error}.",
                        "thrive serve",
                    ) from error
                time.sleep(0.1)

    def _once(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(*self._address, timeout=10)
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        text = response.read()
        if response.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise StoreUnavailable(f"HTTP {response.status}: {text[:200].decode(errors='replace')}")
        if response.status != http.HTTPStatus.OK:
            raise UsageError(
                f"The serving host refused a request with HTTP {response.status}: "
                f"{text[:300].decode(errors='replace')}",
                "compare the traffic file with `thrive models show`",
            )
        return msgspec.json.decode(text)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
