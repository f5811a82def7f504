"""The hosts that serve, and whether they spoke lately."""

from collections.abc import Iterable

import msgspec

from thrive.domain.clock import SECOND
from thrive.domain.release import ServingHost

HEARTBEAT_EVERY_S = 5.0
"""How often an agent says that it is there."""
_MISSED = 3


class HostStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A serving host and whether it spoke lately."""

    host: ServingHost
    up: bool
    silent_for: int


def seen(hosts: Iterable[ServingHost], machine_time: int) -> list[HostStatus]:
    """Return which hosts are up: those that missed fewer than three heartbeats.

    Args:
        hosts: the last word of each.
        machine_time: the machine's present moment, in which heartbeats are told.
    """
    return [
        HostStatus(
            host=each,
            up=bool(each.url)
            and machine_time - each.seen_at < _MISSED * HEARTBEAT_EVERY_S * SECOND,
            silent_for=machine_time - each.seen_at,
        )
        for each in hosts
    ]
