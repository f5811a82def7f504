"""What is known of one model: its rows, read once, with the terms in force.

Of all models at once: `flows.fleet`.
"""

import msgspec

from thrive.contract.gaps import Gap, gaps, reached_teams
from thrive.contract.parse import ParsedContract
from thrive.contract.schema import ACTION_DEFAULTS, Contract, ModelTerms
from thrive.domain.clock import DAY, ClockMode, machine_now
from thrive.domain.gate import Verdict
from thrive.domain.model import Model, ModelVersion
from thrive.domain.monitoring import Alert, AlertState, Cause, Level, Window
from thrive.domain.project import TeamContact
from thrive.domain.release import Release, ReleaseState, RoutingTable
from thrive.flows.contracts import find_contract
from thrive.flows.performance import Performance, performance_of
from thrive.monitoring.findings import Findings, findings_of
from thrive.monitoring.terms import TermsInForce
from thrive.operations import Context
from thrive.registry.stages import champion
from thrive.serving.hosts import seen
from thrive.store import gates, models, monitoring, projects, releases
from thrive.store.database import Tx

WINDOWS = 60
"""How many window lengths before today the windows of a model are looked at."""
SPARK = 30
"""Windows in the short line of a model's performance."""
ACTIVE = tuple(state.value for state in AlertState if state is not AlertState.CLOSED)


class WindowCount(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a closed window counted; small enough to keep those of all models in memory."""

    version: int
    start: int
    end: int
    revision: int
    rows: int
    outcomes: int


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a screen needs of one model.

    Attributes:
        model: the model.
        now: the project's moment.
        replay: the clock is in replay.
        versions: the newest, newest first.
        version_count: how many there are.
        history: routing tables, newest first.
        production: the version with most live traffic.
        terms: the contract of the version in production, else of the newest.
        windows: the newest windows of every version, oldest first; of many models at once only
            the newest of the version in production.
        counts: what all the newest windows counted, oldest first.
        found: what was found in the newest window of the version in production.
        performance: over the newest main windows, `SPARK` at most.
        alerts: those that are not closed, newest first.
        verdict: the newest on the version in production.
        newest_verdict: the newest on the newest version.
        gaps: what that contract leaves unanswered.
        releases: newest first.
        servers: serving hosts that ever spoke.
        servers_up: those that spoke lately.
    """

    model: Model
    now: int
    replay: bool
    versions: list[ModelVersion]
    version_count: int
    history: list[RoutingTable]
    production: ModelVersion | None
    terms: TermsInForce
    windows: list[Window]
    counts: list[WindowCount]
    found: Findings | None
    performance: Performance
    alerts: list[Alert]
    verdict: Verdict | None
    newest_verdict: Verdict | None
    gaps: list[Gap]
    releases: list[Release]
    servers: int
    servers_up: int

    def production_counts(self) -> list[WindowCount]:
        """Return what the windows of the version in production counted, oldest first."""
        number = self.production.version if self.production is not None else None
        return [window for window in self.counts if window.version == number]

    def newest_window(self) -> Window | None:
        """Return the newest closed window of the version in production."""
        number = self.production.version if self.production is not None else None
        return next((each for each in reversed(self.windows) if each.version == number), None)

    def main_windows(self) -> list[Window]:
        """Return one window for each time: that of the version with most rows, oldest first."""
        return main_windows(self.windows)

    def unanswered(self) -> str:
        """Say what answers where a version did before and none does now; "" where one does."""
        if self.production is not None or not self.history or self.history[0].variants:
            return ""
        routing = self.history[0]
        answer = "nothing" if routing.fallback is None else f"the fallback {routing.fallback}"
        return f"No version answers, {answer} does: {routing.reason}."

    def active_alert(self, cause: Cause) -> Alert | None:
        """Return the alert (before the notice) of a cause that is not over."""
        if not self.alerts:  # most models, most days
            return None
        mine = [alert for alert in self.alerts if alert.cause is cause]
        return min(mine, key=lambda alert: alert.level is not Level.ALERT, default=None)

    def under_way(self) -> Release | None:
        """Return the release that is on its way, held or not."""
        states = (ReleaseState.RUNNING, ReleaseState.HELD)
        return next((each for each in self.releases if each.state in states), None)


class Servers(msgspec.Struct, frozen=True, kw_only=True):
    """Serving hosts: how many ever spoke, and how many spoke lately."""

    known: int
    up: int


def one_model(ctx: Context, name: str) -> ModelFacts:
    """Return the facts of a model.

    Raises:
        NotFound: there is none of that name.
    """
    with ctx.read() as tx:
        return _facts(ctx, tx, models.get(tx, ctx.project_id, name), servers(ctx, tx))


def servers(ctx: Context, tx: Tx) -> Servers:
    """Return how many serving hosts there are, and how many of them speak."""
    hosts = seen(releases.find_hosts(tx, ctx.project_id), machine_now())
    return Servers(known=len(hosts), up=sum(host.up for host in hosts))


def _facts(ctx: Context, tx: Tx, model: Model, hosts: Servers) -> ModelFacts:
    project, name = ctx.project_id, model.name
    clock = projects.clock(tx, project)
    versions = models.versions(tx, project, name, limit=models.MOST_SHOWN)
    history = releases.routing_history(tx, project, name)
    number = champion(history)
    live = () if number is None else models.versions(tx, project, name, among=[number])
    production = next(iter(live), None)
    judged = production or (versions[0] if versions else None)
    contract = find_contract(tx, project, judged) if judged is not None else None
    terms = terms_for(contract, name)
    judged_by = terms.model.gates.quality.metric
    judgements = [
        gates.find_verdicts(tx, project, name, each.version, limit=1) if each is not None else []
        for each in (production, next(iter(versions), None))
    ]
    windows = monitoring.find_windows(
        tx,
        project,
        name,
        since=beginning(clock.now(), terms.window),
        last=WINDOWS if terms.counted else None,
    )
    newest = next((each for each in reversed(windows) if each.version == number), None)
    return ModelFacts(
        model=model,
        now=clock.now(),
        replay=clock.mode is ClockMode.REPLAY,
        versions=versions,
        version_count=_count(tx, project, name, len(versions)),
        history=history,
        production=production,
        terms=terms,
        windows=windows,
        counts=[count_of(window) for window in windows],
        found=findings_of(newest) if newest is not None else None,
        performance=performance_of(main_windows(windows)[-SPARK:], judged_by),
        alerts=monitoring.find_alerts(tx, project, model=name, states=ACTIVE),
        verdict=next(iter(judgements[0]), None),
        newest_verdict=next(iter(judgements[1]), None),
        gaps=gaps_of(contract, projects.contacts(tx, project)),
        releases=releases.find(tx, project, name),
        servers=hosts.known,
        servers_up=hosts.up,
    )


def _count(tx: Tx, project_id: str, name: str, shown: int) -> int:
    """Return how many versions a model has; only of very many are they counted."""
    return shown if shown < models.MOST_SHOWN else models.count_versions(tx, project_id, name)


def beginning(now: int, window: int) -> int:
    """Return since when windows of a length are looked at; it moves once a day."""
    return now // DAY * DAY - WINDOWS * window


def count_of(window: Window) -> WindowCount:
    """Return what a window counted."""
    return WindowCount(
        version=window.version,
        start=window.start,
        end=window.end,
        revision=window.revision,
        rows=window.rows,
        outcomes=window.outcomes,
    )


def main_windows(windows: list[Window]) -> list[Window]:
    """Return one window for each time: that of the version with most rows, oldest first."""
    chosen: dict[int, Window] = {}
    for window in windows:
        if window.start not in chosen or window.rows > chosen[window.start].rows:
            chosen[window.start] = window
    return [chosen[start] for start in sorted(chosen)]


def terms_for(contract: ParsedContract | None, name: str) -> TermsInForce:
    """Return what a contract says of a model; the defaults where it says nothing."""
    whole = contract.contract if contract is not None else Contract()
    own = whole.model.get(name) or ModelTerms(actions=ACTION_DEFAULTS)
    return TermsInForce(contract=whole, model=own)


def gaps_of(contract: ParsedContract | None, contacts: list[TeamContact]) -> list[Gap]:
    """Return what a contract leaves unanswered; nothing where there is none."""
    if contract is None:
        return []
    return gaps(contract, reached_teams(contract.contract, contacts))
