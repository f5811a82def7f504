"""How a server is reached: its addresses, its names, the secret of its owner."""

import ipaddress
from collections.abc import Iterable

import msgspec

from thrive.domain.actor import Actor


class AppOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the application is reached.

    Attributes:
        local_token: the secret that stands for the owner of the folder.
        local_actor: that owner.
        hosts: names beside those of the loopback that requests may be sent to.
        open_metrics: whether `/metrics` needs no token.
        rate: requests a second that one caller may send; 0 for no limit.
    """

    local_token: str
    local_actor: Actor
    hosts: tuple[str, ...] = ()
    open_metrics: bool = True
    rate: float = 0.0


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_names(host: str, allowed: Iterable[str]) -> tuple[str, ...]:
    """Return the names a server bound to `host` answers to, beside those of the loopback."""
    wildcard = host in {"0.0.0.0", "::", ""}  # noqa: S104 - compared, not bound
    bracketed = f"[{host}]" if ":" in host else host
    return (*allowed, *(() if wildcard else (bracketed,)))
