"""Releases: the road of a version to its users; the routing table: the one fact of what is live."""

from enum import StrEnum
from typing import Any

import msgspec

from thrive.domain.model import VersionSeal


class ReleaseState(StrEnum):
    """Where a release stands as a whole."""

    RUNNING = "running"
    HELD = "held"
    DONE = "done"
    ROLLED_BACK = "rolled back"


class PhaseKind(StrEnum):
    """How a version meets traffic in one phase."""

    SHADOW = "shadow"
    AB = "ab"
    CANARY = "canary"
    FULL = "full"


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """One phase: its kind, the share of traffic (0..1), and how long it bakes in microseconds."""

    kind: PhaseKind
    share: float
    bake: int


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A persistent state machine: one version on its way through the contract's phases."""

    release_id: str
    model: str
    candidate: int
    production: int | None
    phases: list[Phase]
    position: int
    state: ReleaseState
    phase_started_at: int
    started_at: int
    actor: str
    verdict: str
    contract: str
    evidence: dict[str, Any] = {}
    reason: str = ""
    ended_at: int | None = None
    replay: bool = False


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """A version with its share of live traffic (0..1), or answering in the shadow.

    `seal` says who vouches for the package as that version, None if nobody did.
    """

    version: int
    package: str
    share: float
    shadow: bool = False
    seal: VersionSeal | None = None


class RoutingTable(msgspec.Struct, frozen=True, kw_only=True):
    """Which versions of a model get which traffic, since when and why; history is kept.

    `salt` makes the assignment of keys to variants stable through one release. `stopped` says that
    somebody stopped what was live: the fallback answers until the traffic is given back.
    """

    model: str
    revision: int
    variants: list[Variant]
    fallback: Any
    salt: str
    at: int
    reason: str
    actor: str
    release_id: str | None = None
    stopped: bool = False

    def production(self) -> Variant | None:
        """Return the variant that carries most live traffic first, None when nothing is live."""
        live = [variant for variant in self.variants if not variant.shadow and variant.share > 0]
        return live[0] if live else None

    def who_answers(self) -> str:
        """Return in words who answers callers now."""
        live = [each for each in self.variants if not each.shadow and each.share > 0]
        if not live:
            return f"the fallback ({self.fallback})"
        if len(live) == 1:
            return f"version {live[0].version}"
        return " and ".join(f"version {each.version} ({each.share:.0%})" for each in live)

    @property
    def next_hint(self) -> str:
        """What to type next: where no version answers any more, that callers get the fallback."""
        if self.production() is not None:
            return f"thrive releases list --model {self.model}"
        again = (
            f'thrive releases rollback {self.model} --reason "..." gives the traffic back'
            if self.stopped
            else f"no version served before; thrive releases start {self.model}@VERSION"
        )
        return f"callers get the fallback ({self.fallback}) now: {again}"


class MovedRouting(RoutingTable, frozen=True, kw_only=True):
    """A routing table that somebody moved, and in words who answers callers now, and did before."""

    answers: str
    answered_before: str


class ServingHost(msgspec.Struct, frozen=True, kw_only=True):
    """The last word of one serving agent.

    `consumers` are the callers that are registered there with their purposes, as `board:
    delay-warning, planning`, and `unregistered` counts the tokens without a purpose, whose holders
    may ask everything.
    """

    agent_id: str
    host: str
    url: str
    revision: int
    seen_at: int
    answered: int = 0
    failed: int = 0
    dropped: int = 0
    consumers: list[str] = []
    unregistered: int = 0
