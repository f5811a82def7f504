"""The contract a model version was registered under."""

from weakref import WeakKeyDictionary

import msgspec

from thrive.contract.parse import ParsedContract, parse_stored
from thrive.contract.schema import ACTION_DEFAULTS, Contract, ModelTerms
from thrive.contract.windows import WindowLength, parse_window
from thrive.domain.clock import DAY
from thrive.domain.model import ModelVersion
from thrive.domain.monitoring import Cause
from thrive.operations import Context
from thrive.store import projects
from thrive.store.home import Home

YEAR = 365 * DAY


class TermsInForce(msgspec.Struct, frozen=True, kw_only=True):
    """The whole contract, the part about one model, and the causes it says an action for."""

    contract: Contract
    model: ModelTerms
    said: frozenset[Cause] = frozenset()

    @property
    def length(self) -> WindowLength:
        """How traffic is cut into windows."""
        return parse_window(self.model.monitor.window)

    @property
    def window(self) -> int:
        """Microseconds of one window; of one by count the longest that it waits for its rows."""
        return self.length.lasts

    @property
    def counted(self) -> bool:
        """Whether windows end by a number of rows."""
        return self.length.rows is not None

    @property
    def windows_a_year(self) -> float:
        """How often a monitor asks its question in a year; at least, of windows by count."""
        return YEAR / self.window


def terms_of(ctx: Context, version: ModelVersion) -> TermsInForce:
    """Return the terms of a version; the defaults where its contract says nothing of it."""
    parsed = _contract(ctx, version.contract)
    if parsed is None:
        return TermsInForce(contract=Contract(), model=ModelTerms(actions=ACTION_DEFAULTS))
    model = parsed.contract.model.get(version.model) or ModelTerms(actions=ACTION_DEFAULTS)
    place = f"model.{version.model}.actions."
    said = frozenset(cause for cause in Cause if f"{place}{cause.value}" in parsed.lines)
    return TermsInForce(contract=parsed.contract, model=model, said=said)


_KNOWN: WeakKeyDictionary[Home, dict[str, ParsedContract]] = WeakKeyDictionary()
"""Contracts by digest, of each open home: what a digest names never changes."""


def _contract(ctx: Context, digest: str) -> ParsedContract | None:
    known = _KNOWN.setdefault(ctx.home, {})
    if digest in known:
        return known[digest]
    with ctx.read() as tx:
        stored = projects.find_contract(tx, ctx.project_id, digest)
    return None if stored is None else known.setdefault(digest, parse_stored(stored.text))
