"""The facts of all models of a project: one query a table, and none while nothing changes.

They are kept with the position of the change feed they were read at. What is read later is that of
the database at that moment, whoever wrote: a window that closed renews the windows of its model,
anything else that can matter renews all but the windows, where what never changes is kept.
"""

import threading
import weakref
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from thrive.contract.gaps import Gap
from thrive.contract.parse import ParsedContract
from thrive.contract.windows import WindowLength
from thrive.domain.clock import DAY, ClockMode
from thrive.domain.gate import Verdict
from thrive.domain.model import Model, ModelVersion
from thrive.domain.monitoring import Alert, Window
from thrive.domain.release import Release, ReleaseState, RoutingTable
from thrive.flows.contracts import find_contract
from thrive.flows.facts import (
    ACTIVE,
    SPARK,
    WINDOWS,
    ModelFacts,
    WindowCount,
    beginning,
    count_of,
    gaps_of,
    main_windows,
    servers,
    terms_for,
)
from thrive.flows.performance import Performance, performance_of
from thrive.monitoring.findings import findings_of
from thrive.monitoring.terms import TermsInForce
from thrive.operations import Context
from thrive.registry.stages import champion
from thrive.store import changes, gates, models, monitoring, projects, releases
from thrive.store.database import Tx
from thrive.store.home import Home

_QUIET = frozenset(
    {
        "artifact", "baseline", "experiment", "experiment-name", "experiment-tags", "job",
        "logged-model", "logs", "outcomes", "prediction", "predictions", "run",
    }
)  # fmt: skip
"""Changes that touch none of the rows here: those of training and of traffic, which are many."""
_WINDOW = "window"
_KNOWN = frozenset({"alert", "approval", "decision", "model", "release", "routing", "verdict"})
"""Changes that touch versions only of the models they name, and no verdict that is there."""
_SPARE = 1000
"""Whole windows kept beyond two a model before those of the past are let go."""

_UNDER_WAY = (ReleaseState.RUNNING, ReleaseState.HELD)

K = TypeVar("K")
V = TypeVar("V")
M = TypeVar("M", Alert, Release)
Label = tuple[str, int]
"""A model and a version's number."""
Key = tuple[str, int, int, int]
"""A window: model, version, start, revision."""


class _Rows(msgspec.Struct, frozen=True, kw_only=True):
    """All but the windows, by model, by version or by the digest of a contract."""

    named: dict[str, Model]
    numbers: dict[str, tuple[int, int]]
    routing: dict[str, RoutingTable]
    versions: dict[Label, ModelVersion]
    verdicts: dict[str, Verdict]
    judged: dict[Label, str]
    alerts: dict[str, list[Alert]]
    releases: dict[str, Release]
    contracts: dict[str, ParsedContract | None]
    gaps: dict[str, list[Gap]]

    def newest(self, name: str) -> ModelVersion | None:
        """Return the newest version of a model."""
        return self.versions.get((name, self.numbers.get(name, (0, 0))[1]))

    def live(self, name: str) -> int | None:
        """Return the number of the version with most live traffic."""
        return champion([self.routing[name]]) if name in self.routing else None

    def production(self, name: str) -> ModelVersion | None:
        """Return the version with most live traffic."""
        live = self.live(name)
        return None if live is None else self.versions.get((name, live))

    def terms(self, name: str) -> TermsInForce:
        """Return the terms of the version in production, else of the newest."""
        judged = self.production(name) or self.newest(name)
        return terms_for(None if judged is None else self.contracts[judged.contract], name)


_NOTHING = _Rows(
    named={}, numbers={}, routing={}, versions={}, verdicts={}, judged={}, alerts={}, releases={},
    contracts={}, gaps={},
)  # fmt: skip


class Fleet:
    """The facts of the models of one project; safe to use from many threads.

    Args:
        project_id: the project.
    """

    def __init__(self, project_id: str) -> None:
        self._project_id = project_id
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._seq, self._day = -1, -1
        self._rows: _Rows | None = None
        self._looked: dict[str, tuple[WindowLength, str]] = {}
        self._counts: dict[str, list[WindowCount]] = {}
        self._performance: dict[str, Performance] = {}
        self._whole: dict[Key, Window] = {}
        self._known: dict[str, ModelFacts] = {}

    def facts(self, ctx: Context, tx: Tx) -> list[ModelFacts]:
        """Return the facts of all models, by name, as the transaction sees them."""
        clock, hosts = projects.clock(tx, self._project_id), servers(ctx, tx)
        with self._lock:
            self._catch_up(tx, clock.now())
            known = list(self._known.values())
        own = {
            "now": clock.now(),
            "replay": clock.mode is ClockMode.REPLAY,
            "servers": hosts.known,
            "servers_up": hosts.up,
        }
        return [msgspec.structs.replace(each, **own) for each in known]

    def _catch_up(self, tx: Tx, now: int) -> None:
        head, day = changes.head(tx, self._project_id), now // DAY
        if (head, day) == (self._seq, self._day):
            return
        if head < self._seq or day != self._day:
            self._forget()
        kinds = changes.kinds_after(tx, self._project_id, self._seq)
        closed = self._closed(tx) if _WINDOW in kinds and self._rows is not None else set()
        rows = self._rows
        if rows is None or kinds - _QUIET - {_WINDOW}:
            rows = self._rows = self._read(tx, kinds)
            renewed = set(rows.named)
        else:
            renewed = closed
        self._renew_windows(tx, rows, renewed, closed, now)
        released = _by_model(rows.releases.values())
        fresh = {name: self._facts(rows, name, released) for name in renewed}
        self._known = {name: fresh.get(name) or self._known[name] for name in rows.named}
        self._seq, self._day = head, day

    def _closed(self, tx: Tx) -> set[str]:
        """Return the models of which a window was closed or corrected."""
        found = changes.subjects_after(tx, self._project_id, self._seq, {_WINDOW})
        return {label.rpartition("@")[0] for label in found.get(_WINDOW, ())}

    def _read(self, tx: Tx, kinds: set[str]) -> _Rows:
        project, before = self._project_id, self._before(tx, kinds)
        numbers, revisions = models.numbers(tx, project), releases.revisions(tx, project)
        routing = _kept(before.routing, lambda name, table: table.revision == revisions.get(name))
        moved = [each for each in revisions.items() if each[0] not in routing]
        routing |= releases.routing_at(tx, project, moved)
        labels = {(name, number) for name, (_, number) in numbers.items()}
        lives = ((name, champion([table])) for name, table in routing.items())
        labels |= {(name, number) for name, number in lives if number is not None}
        versions = _kept(before.versions, lambda label, _: label in labels)
        versions |= models.versions_at(tx, project, sorted(labels - versions.keys()))
        judged = gates.newest_ids(tx, project, sorted(labels))
        wanted = set(judged.values())
        verdicts = _kept(before.verdicts, lambda known, _: known in wanted)
        verdicts |= gates.some(tx, project, sorted(wanted - verdicts.keys()))
        contracts = {
            digest: before.contracts.get(digest) or find_contract(tx, project, version)
            for digest, version in {each.contract: each for each in versions.values()}.items()
        }
        contacts = projects.contacts(tx, project)
        return _Rows(
            named={model.name: model for model in models.find(tx, project)},
            numbers=numbers,
            routing=routing,
            versions=versions,
            verdicts=verdicts,
            judged=judged,
            alerts=_by_model(monitoring.find_alerts(tx, project, states=ACTIVE, limit=None)),
            releases=self._releases(tx, before),
            contracts=contracts,
            gaps={digest: gaps_of(each, contacts) for digest, each in contracts.items()},
        )

    def _before(self, tx: Tx, kinds: set[str]) -> _Rows:
        """Return what was read before, without what may have changed in place."""
        before = self._rows
        if before is None or kinds - _QUIET - _KNOWN - {_WINDOW}:
            return _NOTHING
        changed = changes.subjects_after(tx, self._project_id, self._seq, {"model"})
        named = {label.partition("@")[0] for label in changed.get("model", ())}
        versions = _kept(before.versions, lambda label, _: label[0] not in named)
        return msgspec.structs.replace(before, versions=versions)

    def _releases(self, tx: Tx, before: _Rows) -> dict[str, Release]:
        wanted = releases.newest_ids(tx, self._project_id)
        over = _kept(before.releases, lambda _, release: release.state not in _UNDER_WAY)
        missing = [each for each in wanted if each not in over]
        found = over | releases.some(tx, self._project_id, missing)
        return {each: found[each] for each in sorted(wanted, reverse=True)}

    def _renew_windows(
        self, tx: Tx, rows: _Rows, renewed: set[str], closed: set[str], now: int
    ) -> None:
        """Read the windows that are new, or are looked at otherwise than before."""
        wanted: dict[WindowLength, list[str]] = {}
        for name in renewed:
            terms = rows.terms(name)
            looked = terms.length, terms.model.gates.quality.metric
            if name in closed or self._looked.get(name) != looked:
                wanted.setdefault(terms.length, []).append(name)
                self._looked[name] = looked
        for length, names in wanted.items():
            found = monitoring.performance_windows(
                tx,
                self._project_id,
                names,
                since=beginning(now, length.lasts),
                last=WINDOWS if length.rows is not None else None,
            )
            for name in names:
                windows = found.get(name, [])
                self._counts[name] = [count_of(each) for each in windows]
                judged_by = self._looked[name][1]
                self._performance[name] = performance_of(main_windows(windows)[-SPARK:], judged_by)
        keys = {key for name in renewed if (key := self._newest(rows, name)) is not None}
        missing = sorted(keys - self._whole.keys())
        for window in monitoring.windows_at(tx, self._project_id, missing):
            self._whole[_key(window)] = window
        if len(self._whole) > 2 * len(rows.named) + _SPARE:
            self._whole = {key: self._whole[key] for key in keys if key in self._whole}

    def _newest(self, rows: _Rows, name: str) -> Key | None:
        """Return which window is the newest of the version in production."""
        live = rows.live(name)
        mine = (each for each in reversed(self._counts[name]) if each.version == live)
        return next(((name, each.version, each.start, each.revision) for each in mine), None)

    def _facts(self, rows: _Rows, name: str, released: dict[str, list[Release]]) -> ModelFacts:
        newest, production = rows.newest(name), rows.production(name)
        judged = production or newest
        key = self._newest(rows, name)
        whole = self._whole.get(key) if key is not None else None
        return ModelFacts(
            model=rows.named[name],
            now=0,
            replay=False,
            versions=[newest] if newest is not None else [],
            version_count=rows.numbers.get(name, (0, 0))[0],
            history=[rows.routing[name]] if name in rows.routing else [],
            production=production,
            terms=rows.terms(name),
            windows=[whole] if whole is not None else [],
            counts=self._counts[name],
            found=findings_of(whole) if whole is not None else None,
            performance=self._performance[name],
            alerts=rows.alerts.get(name, []),
            verdict=_verdict(rows, production),
            newest_verdict=_verdict(rows, newest),
            gaps=rows.gaps[judged.contract] if judged is not None else [],
            releases=released.get(name, []),
            servers=0,
            servers_up=0,
        )


def _verdict(rows: _Rows, version: ModelVersion | None) -> Verdict | None:
    judged = rows.judged.get((version.model, version.version)) if version is not None else None
    return None if judged is None else rows.verdicts[judged]


def _kept(known: dict[K, V], holds: Callable[[K, V], bool]) -> dict[K, V]:
    return {key: value for key, value in known.items() if holds(key, value)}


def _by_model(found: Iterable[M]) -> dict[str, list[M]]:
    made: dict[str, list[M]] = {}
    for each in found:
        made.setdefault(each.model, []).append(each)
    return made


def _key(window: Window) -> Key:
    return window.model, window.version, window.start, window.revision


_fleets: weakref.WeakKeyDictionary[Home, Fleet] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def every_model(ctx: Context) -> list[ModelFacts]:
    """Return the facts of all models, by name.

    Of its versions each has the newest, of its routing the table in force, of its releases the
    newest and those on their way, of its windows the newest of production.
    """
    with _making:
        fleet = _fleets.setdefault(ctx.home, Fleet(ctx.project_id))
    with ctx.read() as tx:
        return fleet.facts(ctx, tx)
