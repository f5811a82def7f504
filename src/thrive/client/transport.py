"""HTTP to one server: kept-alive connections that many threads share, and errors as our own."""

import http.client
import random
import select
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

import msgspec

from thrive.domain.errors import (
    Conflict,
    InfrastructureError,
    NotFound,
    Refused,
    StoreBusy,
    StoreUnavailable,
    ThriveError,
    UsageError,
)

TIMEOUT_S = 120.0
IDLE_S = 30.0
"""A connection idle for longer is not used again: the server closes it soon."""
TRIES = 4
PAUSE_S = 0.2
COPIED = 1 << 20
JSON: Mapping[str, str] = {"Content-Type": "application/json"}
_NOT_MODIFIED, _TOO_OFTEN = 304, 429
PACED_S, PATIENCE = 5, 30
"""A wait that a server asks for is kept up to so many seconds, so often; it did nothing yet."""
_FAILURES = (OSError, http.client.HTTPException)


T = TypeVar("T")


class Answer(NamedTuple):
    """The status, the content type and the body of an answer, its tag, and a wait it asks for."""

    status: int
    content_type: str
    body: bytes
    tag: str = ""
    wait_s: int = 0


class _ErrorBody(msgspec.Struct):
    code: str
    what: str
    hint: str = ""


class _ErrorAnswer(msgspec.Struct):
    error: _ErrorBody


class Transport:
    """Sends requests to one server; safe to use from many threads.

    Args:
        url: `http://host:port` or `https://...`.
        token: the token every request carries.
        timeout_s: how long the server may be silent.

    Raises:
        UsageError: the URL is not one.
    """

    def __init__(self, url: str, token: str, timeout_s: float = TIMEOUT_S) -> None:
        place = urlsplit(url)
        if place.scheme not in {"http", "https"} or not place.hostname or place.query:
            raise UsageError(f"{url!r} is not the URL of a server.", "e.g. http://127.0.0.1:8000")
        self._token = token
        self.url = url.rstrip("/")
        self._prefix = place.path.rstrip("/")
        self._timeout_s = timeout_s
        self._secure = place.scheme == "https"
        self._host, self._port = place.hostname, place.port
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/msgpack"}
        self._idle: list[tuple[float, http.client.HTTPConnection]] = []
        self._lock = threading.Lock()

    def within(self, timeout_s: float) -> "Transport":
        """Return a way to the same server that gives up after so long a silence (s)."""
        return Transport(self.url, self._token, timeout_s)

    def get(self, target: str) -> Answer:
        """Read; a failure that may pass is tried again.

        Raises:
            ThriveError: what the server answered, as the class it names.
            StoreUnavailable: the server does not answer.
        """
        return self.again(lambda: self._once("GET", target, headers={}))

    def poll(self, target: str, tag: str, wait_s: float) -> Answer | None:
        """Read, once, what is not the answer of that tag any more; None if it still is.

        Args:
            target: what to read.
            tag: of the answer that is known, empty for none.
            wait_s: how long the server waits for another one.

        Raises:
            ThriveError: what the server answered, as the class it names.
            StoreUnavailable: the server does not answer.
        """
        asked = {"Prefer": f"wait={wait_s:.0f}"} | ({"If-None-Match": tag} if tag else {})
        answer = self._once("GET", target, headers=asked)
        return None if answer.status == _NOT_MODIFIED else answer

    def again(self, ask: Callable[[], T]) -> T:
        """Call `ask`, which may be called twice, again after a failure that may pass."""
        for tried in range(1, TRIES + 1):
            try:
                return ask()
            except ThriveError as error:
                if not error.transient or tried == TRIES:
                    raise
            time.sleep(PAUSE_S * 2**tried * random.uniform(0.5, 1))  # noqa: S311 - spreads retries
        raise AssertionError("the loop returns or raises")

    def post(self, target: str, body: bytes) -> Answer:
        """Write, once: whether a write that failed on its way was done is not known here.

        Raises:
            ThriveError: what the server answered, as the class it names.
            StoreUnavailable: the server does not answer.
        """
        return self._once("POST", target, body)

    def put(self, target: str, body: bytes | memoryview) -> Answer:
        """Send bytes, once; raises as `post` does."""
        return self._once("PUT", target, body, {"Content-Type": "application/octet-stream"})

    def copy(self, target: str, start: int, write: Callable[[bytes], object]) -> None:
        """Read bytes from `start` on and hand them on as they come; raises as `post` does."""
        wanted = {"Range": f"bytes={start}-"} if start else {}

        def handed_on(response: http.client.HTTPResponse) -> bytes:
            if response.status >= 400:
                return response.read()
            while part := response.read(COPIED):
                write(part)
            return b""

        self._once("GET", target, headers=wanted, read=handed_on)

    def stream(self, target: str) -> http.client.HTTPResponse:
        """Return an answer to read bit by bit, on a connection of its own.

        Raises:
            ThriveError: what the server answered, as the class it names.
            StoreUnavailable: the server does not answer.
        """
        connection = self._connect()
        try:
            connection.request("GET", self._prefix + target, headers=self._headers)
            response = connection.getresponse()
        except _FAILURES as error:
            connection.close()
            raise self._silent() from error
        if response.status >= 400:
            answer = Answer(response.status, "", response.read())
            connection.close()
            raise error_of(answer)
        return response

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def _once(
        self,
        method: str,
        target: str,
        body: bytes | memoryview | None = None,
        headers: Mapping[str, str] = JSON,
        read: Callable[[http.client.HTTPResponse], bytes] = http.client.HTTPResponse.read,
    ) -> Answer:
        answer = self._sent(method, target, body, headers, read)
        tried = 1
        while 0 < answer.wait_s <= PACED_S and tried < PATIENCE:
            time.sleep(answer.wait_s * random.uniform(0.5, 1))  # noqa: S311 - spreads retries
            answer = self._sent(method, target, body, headers, read)
            tried += 1
        if answer.status >= 400:
            raise error_of(answer)
        return answer

    def _sent(
        self,
        method: str,
        target: str,
        body: bytes | memoryview | None,
        headers: Mapping[str, str],
        read: Callable[[http.client.HTTPResponse], bytes],
    ) -> Answer:
        connection = self._take()
        sent = self._headers | dict(headers)
        try:
            connection.request(method, self._prefix + target, body, sent)
            response = connection.getresponse()
            content_type = response.headers.get_content_type()
            tag = response.headers.get("ETag", "")
            wait_s = _wait_of(response)
            answer = Answer(response.status, content_type, read(response), tag, wait_s)
        except _FAILURES as error:
            connection.close()
            raise self._silent() from error
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            with self._lock:
                self._idle.append((time.monotonic(), connection))
        return answer

    def _take(self) -> http.client.HTTPConnection:
        """Return an idle connection the server has not closed, or a new one."""
        while True:
            with self._lock:
                if not self._idle:
                    return self._connect()
                since, connection = self._idle.pop()
            sock = connection.sock
            fresh = time.monotonic() - since < IDLE_S
            if fresh and sock is not None and not select.select([sock], [], [], 0)[0]:
                return connection
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout_s, context=context
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)

    def _silent(self) -> StoreUnavailable:
        return StoreUnavailable(f"The server at {self.url} does not answer.", "thrive server")


def _wait_of(response: http.client.HTTPResponse) -> int:
    """Return for how long a caller that asks too often is to wait; 0 for any other answer."""
    told = response.headers.get("Retry-After", "")
    return int(told) if response.status == _TOO_OFTEN and told.isdecimal() else 0


def error_of(answer: Answer) -> ThriveError:
    """Return an answer of status 400 or higher as the error the server raised."""
    try:
        told = msgspec.json.decode(answer.body, type=_ErrorAnswer).error
    except msgspec.MsgspecError:
        kind = _by_status(answer.status)
        return kind(f"The server answered {answer.status}, not as Thrive does.", "check the URL")
    return error_named(told.code, _by_status(answer.status))(told.what, told.hint)


def error_named(code: str, otherwise: type[ThriveError]) -> type[ThriveError]:
    """Return the class of error that a server named, or another for one that is newer."""
    return _classes(ThriveError).get(code, otherwise)


def _classes(base: type[ThriveError]) -> dict[str, type[ThriveError]]:
    found = {base.__name__: base}
    for kind in base.__subclasses__():
        found |= _classes(kind)
    return found


def _by_status(status: int) -> type[ThriveError]:
    known: dict[int, type[ThriveError]] = {
        401: Refused,
        403: Refused,
        404: NotFound,
        409: Conflict,
        429: Refused,
        502: StoreUnavailable,
        503: StoreBusy,
        504: StoreUnavailable,
    }
    return known.get(status, InfrastructureError if status >= 500 else UsageError)
