"""POST to an address that somebody else named, and never to our own network.

The name is looked up once, every address it has must be public, and the connection goes to the
address that was checked: a name that answers otherwise a moment later leads nowhere. Redirects
are not followed, no proxy is used, and what is answered is read up to a limit.
"""

import http.client
import ipaddress
import re
import socket
import ssl
from collections.abc import Collection, Mapping
from urllib.parse import SplitResult, urlsplit

import msgspec

from thrive.domain.errors import Refused, StoreUnavailable, UsageError

TIMEOUT_S = 10.0
MOST_ANSWERED = 4096
"""Bytes of an answer that are read."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_HOST = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_NUMERIC = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+)){0,3}")
"""What the resolver of the system may take for an address in another spelling."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What the other side said: its status, and the beginning of its answer as text."""

    status: int
    body: str
    retry_after: str = ""


def checked_url(url: str, private: Collection[str] = ()) -> SplitResult:
    """Return the parts of an address that something may be sent to.

    Args:
        url: the address.
        private: hosts of our own network that may be reached, also without TLS.

    Raises:
        UsageError: it is no address of the web, or carries a password.
        Refused: it is one of our own network, or is not https.
    """
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise UsageError(f"{url[:80]!r} is no address.", "give https://HOST/PATH") from None
    if parts.scheme not in {"https", "http"} or not host or any(ord(c) < 33 for c in url):
        raise UsageError(f"{url[:80]!r} is no address of the web.", "give https://HOST/PATH")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise UsageError(
            "The address holds a password or a fragment.", "sign what is sent: give a secret"
        )
    if host not in private:
        _refuse_private(parts, host)
    return parts


def _refuse_private(parts: SplitResult, host: str) -> None:
    if parts.scheme != "https":
        raise Refused(
            "What is sent to the public network leaves by https alone.",
            "give https://HOST/PATH; name a host of your own network in THRIVE_WEBHOOK_HOSTS",
        )
    literal = _literal(host)
    if literal is None and (
        _NUMERIC.fullmatch(host) or not _HOST.fullmatch(host) or "." not in host
    ):
        raise Refused(f"{host[:80]!r} is no public host.", "give a full host name")
    if literal is not None and not is_public(literal):
        raise _private(host)


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the public internet, also where IPv6 wraps IPv4."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


def post(
    url: str, body: bytes, headers: Mapping[str, str], private: Collection[str] = ()
) -> Answered:
    """Send bytes and return what was answered, whatever its status.

    Args:
        url: the address, checked again now.
        body: the content.
        headers: further headers.
        private: as `checked_url` takes them.

    Raises:
        UsageError, Refused: as `checked_url`, or the name leads into our own network.
        StoreUnavailable: the other side cannot be reached.
    """
    parts = checked_url(url, private)
    host = (parts.hostname or "").lower()
    try:
        found = _looked_up(host, parts.port or (443 if parts.scheme == "https" else 80))
        if host not in private and not all(is_public(each) for each, _ in found):
            raise _private(host)
        return _exchanged(parts, found[0], body, headers)
    except (OSError, http.client.HTTPException) as error:
        raise StoreUnavailable(
            f"{host} did not take the event: {str(error)[:200]}.", "check its address"
        ) from error


def checked_host(host: str, port: int, private: Collection[str] = ()) -> None:
    """Look at where a host leads that somebody else will connect to.

    Raises:
        Refused: it leads into our own network.
        StoreUnavailable: the name is not known.
    """
    name = host.lower()
    try:
        found = _looked_up(name, port)
    except OSError as error:
        raise StoreUnavailable(f"{name[:80]}: {error}.", "check its address") from error
    if name not in private and not all(is_public(each) for each, _ in found):
        raise _private(name)


def _looked_up(host: str, port: int) -> list[tuple[Address, int]]:
    """Return all addresses of a name."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (UnicodeError, socket.gaierror) as error:
        raise OSError(f"the name is not known: {error}") from error
    return [(ipaddress.ip_address(str(each[4][0]).partition("%")[0]), port) for each in found]


def _exchanged(
    parts: SplitResult, place: tuple[Address, int], body: bytes, headers: Mapping[str, str]
) -> Answered:
    connection = _Pinned(parts, place)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", target, body, {"User-Agent": "thrive", **headers})
        answer = connection.getresponse()
        text = answer.read(MOST_ANSWERED).decode("utf-8", "replace")
        after = answer.headers.get("Retry-After", "")
        return Answered(status=answer.status, body=text, retry_after=after)
    finally:
        connection.close()


class _Pinned(http.client.HTTPConnection):
    """A connection to an address that was checked, in the name of its host."""

    def __init__(self, parts: SplitResult, place: tuple[Address, int]) -> None:
        super().__init__(parts.hostname or "", place[1], timeout=TIMEOUT_S)
        self.default_port = 443 if parts.scheme == "https" else 80
        self._tls = parts.scheme == "https"
        self._address = place[0]

    def connect(self) -> None:
        """Connect to the address, with the host's name in the certificate."""
        self.sock = socket.create_connection((str(self._address), self.port), self.timeout)
        if self._tls:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host)


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _private(host: str) -> Refused:
    return Refused(
        f"{host[:80]} is an address of our own network.",
        "name it in THRIVE_WEBHOOK_HOSTS if it is meant",
    )
