"""What is known of one model: its rows, read once, with the terms in force."""

import msgspec

from thrive.contract.gaps import Gap, gaps, reached_teams
from thrive.contract.parse import ParsedContract
from thrive.contract.schema import ACTION_DEFAULTS, Contract, ModelTerms
from thrive.domain.clock import ClockMode, machine_now
from thrive.domain.gate import Verdict
from thrive.domain.model import Model, ModelVersion
from thrive.domain.monitoring import Alert, AlertState, Cause, Level, Window
from thrive.domain.release import Release, ReleaseState, RoutingTable
from thrive.flows.contracts import find_contract
from thrive.monitoring.terms import TermsInForce
from thrive.operations import Context
from thrive.registry.stages import champion
from thrive.serving.hosts import seen
from thrive.store import gates, models, monitoring, projects, releases
from thrive.store.database import Tx

WINDOWS = 60
"""How many of a model's newest windows are looked at."""
_ACTIVE = tuple(state.value for state in AlertState if state is not AlertState.CLOSED)


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
        windows: the newest windows of every version, oldest first.
        alerts: those that are not closed, newest first.
        verdict: the newest on the version in production.
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
    alerts: list[Alert]
    verdict: Verdict | None
    gaps: list[Gap]
    releases: list[Release]
    servers: int
    servers_up: int

    def production_windows(self) -> list[Window]:
        """Return the windows of the version in production, oldest first."""
        number = self.production.version if self.production is not None else None
        return [window for window in self.windows if window.version == number]

    def newest_window(self) -> Window | None:
        """Return the newest closed window of the version in production."""
        mine = self.production_windows()
        return mine[-1] if mine else None

    def main_windows(self) -> list[Window]:
        """Return one window for each time: that of the version with most rows, oldest first."""
        chosen: dict[int, Window] = {}
        for window in self.windows:
            if window.start not in chosen or window.rows > chosen[window.start].rows:
                chosen[window.start] = window
        return [chosen[start] for start in sorted(chosen)]

    def active_alert(self, cause: Cause) -> Alert | None:
        """Return the alert (before the notice) of a cause that is not over."""
        mine = [alert for alert in self.alerts if alert.cause is cause]
        return min(mine, key=lambda alert: alert.level is not Level.ALERT, default=None)

    def under_way(self) -> Release | None:
        """Return the release that is on its way, held or not."""
        states = (ReleaseState.RUNNING, ReleaseState.HELD)
        return next((each for each in self.releases if each.state in states), None)


class _Servers(msgspec.Struct, frozen=True, kw_only=True):
    known: int
    up: int


def every_model(ctx: Context) -> list[ModelFacts]:
    """Return the facts of all models, by name."""
    with ctx.read() as tx:
        servers = _servers(ctx, tx)
        return [_facts(ctx, tx, model, servers) for model in models.find(tx, ctx.project_id)]


def one_model(ctx: Context, name: str) -> ModelFacts:
    """Return the facts of a model.

    Raises:
        NotFound: there is none of that name.
    """
    with ctx.read() as tx:
        servers = _servers(ctx, tx)
        return _facts(ctx, tx, models.get(tx, ctx.project_id, name), servers)


def _servers(ctx: Context, tx: Tx) -> _Servers:
    hosts = seen(releases.find_hosts(tx, ctx.project_id), machine_now())
    return _Servers(known=len(hosts), up=sum(host.up for host in hosts))


def _facts(ctx: Context, tx: Tx, model: Model, servers: _Servers) -> ModelFacts:
    project, name = ctx.project_id, model.name
    clock = projects.clock(tx, project)
    versions = models.versions(tx, project, name, limit=models.MOST_SHOWN)
    history = releases.routing_history(tx, project, name)
    number = champion(history)
    live = () if number is None else models.versions(tx, project, name, among=[number])
    production = next(iter(live), None)
    judged = production or (versions[0] if versions else None)
    contract = find_contract(tx, project, judged) if judged is not None else None
    terms = _terms(contract, name)
    verdicts = gates.find_verdicts(tx, project, name, number, limit=1) if number else []
    return ModelFacts(
        model=model,
        now=clock.now(),
        replay=clock.mode is ClockMode.REPLAY,
        versions=versions,
        version_count=_count(tx, project, name, len(versions)),
        history=history,
        production=production,
        terms=terms,
        windows=monitoring.find_windows(
            tx, project, name, since=clock.now() - WINDOWS * terms.window
        ),
        alerts=monitoring.find_alerts(tx, project, model=name, states=_ACTIVE),
        verdict=verdicts[0] if verdicts else None,
        gaps=_gaps(tx, project, contract) if contract is not None else [],
        releases=releases.find(tx, project, name),
        servers=servers.known,
        servers_up=servers.up,
    )


def _count(tx: Tx, project_id: str, name: str, shown: int) -> int:
    """Return how many versions a model has; only of very many are they counted."""
    return shown if shown < models.MOST_SHOWN else models.count_versions(tx, project_id, name)


def _terms(contract: ParsedContract | None, name: str) -> TermsInForce:
    whole = contract.contract if contract is not None else Contract()
    own = whole.model.get(name) or ModelTerms(actions=ACTION_DEFAULTS)
    return TermsInForce(contract=whole, model=own)


def _gaps(tx: Tx, project_id: str, contract: ParsedContract) -> list[Gap]:
    return gaps(contract, reached_teams(contract.contract, projects.contacts(tx, project_id)))
