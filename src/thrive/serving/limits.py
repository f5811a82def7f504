"""What one worker takes, and what it is started with: nothing heavy, as its agent reads it too."""

import resource

import msgspec

OPEN_FILES = 1 << 16
"""Files that a worker may have open: each connection is one."""


class Consumer(msgspec.Struct, frozen=True, kw_only=True):
    """A caller who was registered with what they ask for: a name, and words of purposes."""

    name: str
    purposes: list[str]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker takes.

    Attributes:
        body_bytes: largest body of a request.
        rows: most rows of a request.
        body_seconds: how long a body may take to arrive.
        in_flight: requests at work at a time; more are told to come back (429).
        bytes_in_flight: bytes of the bodies of requests at work, likewise.
        callers: digests of the tokens that callers show; none are asked for if there are none.
        consumers: those of them who may ask for some purposes only, by digest.
        hosts: names that the `Host` of a request may have, lower-case; empty for any.
    """

    body_bytes: int = 16 << 20
    rows: int = 10_000
    body_seconds: float = 10.0
    in_flight: int = 512
    bytes_in_flight: int = 128 << 20
    callers: list[str] = []
    consumers: dict[str, Consumer] = {}
    hosts: list[str] = []

    @property
    def registered(self) -> list[str]:
        """The consumers, each with its purposes."""
        known = {each.name: each.purposes for each in self.consumers.values()}
        return [f"{name}: {', '.join(known[name])}" for name in sorted(known)]

    @property
    def unregistered(self) -> int:
        """How many tokens are of no consumer with a purpose."""
        return len(self.callers) - len(self.consumers)


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent starts a worker with: number, socket, folders, limits.

    `grpc` is the HOST:PORT where it answers gRPC too, "" for nowhere.
    """

    worker: int
    socket: int
    cache: str
    log: str
    grpc: str = ""
    limits: Limits = Limits()


def allow_connections() -> None:
    """Let this process hold `OPEN_FILES` files, or as many as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
