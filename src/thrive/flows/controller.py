"""The controller: one tick looks at everything that waits for time to pass.

A tick is idempotent: killed anywhere and called again, it comes to the same end. One process at a
time leads; steps that fail are told and do not keep the others from their turn.
"""

import os
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import msgspec

from thrive.data.refreshing import queue_refreshes
from thrive.domain.actor import CONTROLLER, KEEPERS
from thrive.domain.clock import ClockMode
from thrive.domain.errors import ThriveError
from thrive.domain.project import JobState
from thrive.feedback import retry_parked
from thrive.flows import act
from thrive.flows.auditing import seal_daily
from thrive.flows.catalogue import load_all
from thrive.flows.explaining import queue_trials
from thrive.flows.feature_freshness import tell_late_views
from thrive.flows.job_output import forget_output
from thrive.flows.log_retention import queue_expiry
from thrive.flows.promote import advance_releases
from thrive.flows.schedules import fire_due
from thrive.flows.worker import execute_next
from thrive.governance.keeping import queue_nightly
from thrive.monitoring.alerts import raise_alerts
from thrive.monitoring.closing import Closer
from thrive.monitoring.outbox import OPERATION as OUTBOX
from thrive.operations import Context, Kind, operation
from thrive.serving.sealing import seal_logs
from thrive.store import jobs, models
from thrive.store.prediction_frames import LogReader
from thrive.store.uploads import forget_expired
from thrive.tracking.recovery import recover_dead_runs

LEASE = "controller"
LEASE_SECONDS = 20.0
"""How long a killed leader keeps others out."""
RENEWED_SECONDS = LEASE_SECONDS / 4
"""How old the lease may be when a step begins; an older one is renewed first."""

SENDING_S = 20.0
"""How long one tick sends messages."""

T = TypeVar("T")


class TickReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one tick did.

    Attributes:
        led: False when another process leads; then nothing was done.
        sealed: prediction rows brought into the store.
        refreshes: sources whose reading was queued for a worker.
        fired: runs that schedules asked for.
        recovered: dead runs that were marked as interrupted.
        windows: windows closed or corrected.
        alerts: alerts opened, renewed or closed.
        enforced: alerts whose deadline had passed.
        moved: releases that took a step.
        verified: alerts closed because their action worked or did not.
        sent: messages that reached their channel.
        problems: what failed, in words.
    """

    led: bool
    sealed: int = 0
    refreshes: int = 0
    fired: int = 0
    recovered: int = 0
    windows: int = 0
    alerts: int = 0
    enforced: int = 0
    moved: int = 0
    verified: int = 0
    sent: int = 0
    problems: list[str] = []


@operation("tick", role=KEEPERS, kind=Kind.CLIENT, writes=True, next_hint="thrive status")
def tick(ctx: Context) -> TickReport:
    """Do what is due: seal logs, close windows, raise alerts, keep deadlines, advance releases.

    Messages to teams are sent too, so that calling it every minute is all that a folder without a
    server needs; trainings and other long jobs wait for `thrive worker`. On a replay clock it
    waits until it leads, and takes open logs too; otherwise it leaves at once when another
    process leads.

    Examples:
        thrive tick
    """
    report = advance(ctx)
    return msgspec.structs.replace(report, sent=send_due(ctx)) if report.led else report


def send_due(ctx: Context) -> int:
    """Send the messages that wait, for some seconds at most; return how many reached their channel.

    One that fails is tried again later, by whoever comes then.
    """
    sent, end = 0, time.monotonic() + SENDING_S
    while time.monotonic() < end:
        with ctx.read() as tx:
            if not jobs.is_any_due(tx, ctx.project_id, OUTBOX):
                break
        load_all()
        ended = execute_next(ctx, operation=OUTBOX)
        if ended is None:  # somebody else sends it
            break
        sent += ended is JobState.DONE
    return sent


def advance(ctx: Context) -> TickReport:
    """Do what a tick does, but leave the messages to a worker."""
    scoped = ctx.acting(CONTROLLER, "tick")
    replayed = ctx.home.clock().mode is ClockMode.REPLAY
    leader = _Leader(scoped)
    if not leader.take(patience=LEASE_SECONDS * 1.5 if replayed else 0.0):
        return TickReport(led=False)
    try:
        return _tick(scoped, leader, replayed=replayed)
    finally:
        leader.leave()


def tick_in_real_time(ctx: Context) -> TickReport:
    """Do what is due, as a server does every few seconds; a replay drives its project itself."""
    if ctx.home.clock().mode is ClockMode.REPLAY:
        return TickReport(led=False)
    return advance(ctx)


class _Leader:
    """The lease of the controller, and the problems met under it."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._owner = f"{socket.gethostname()}-{os.getpid()}-{time.monotonic_ns()}"
        self._taken = 0.0
        self._unexpected: Exception | None = None
        self.problems: list[str] = []

    def take(self, patience: float) -> bool:
        """Take or renew the lease, waiting for another holder at most so many seconds."""
        end = time.monotonic() + patience
        while not self._try():
            if time.monotonic() >= end:
                return False
            time.sleep(0.2)
        return True

    def _try(self) -> bool:
        began = time.monotonic()
        with self._ctx.home.write() as tx:
            project = self._ctx.project_id
            fence = jobs.take_lease(tx, project, LEASE, self._owner, LEASE_SECONDS)
        self._taken = began if fence is not None else 0.0
        return fence is not None

    def _holds(self) -> bool:
        """Tell whether nobody else leads, renewing a lease that is not fresh."""
        return time.monotonic() - self._taken < RENEWED_SECONDS or self._try()

    def leave(self) -> None:
        """Give the lease back."""
        with self._ctx.home.write() as tx:
            jobs.release_lease(tx, self._ctx.project_id, LEASE, self._owner)

    def step(self, name: str, work: Callable[[], T], otherwise: T) -> T:
        """Do one step; an error is noted, and one that nobody foresaw kept for the end."""
        if not self._holds():
            self.problems.append(f"{name}: another process took over")
            return otherwise
        try:
            return work()
        except ThriveError as error:
            self.problems.append(f"{name}: {error.what}")
        except Exception as error:  # noqa: BLE001 - the other steps have their turn before it is told
            self.problems.append(f"{name}: {type(error).__name__}: {error}")
            self._unexpected = self._unexpected or error
        return otherwise

    def tell_unexpected(self) -> None:
        """Raise the first error of a step that nobody foresaw."""
        if self._unexpected is not None:
            raise self._unexpected


def _tick(ctx: Context, leader: _Leader, *, replayed: bool) -> TickReport:
    recovered = leader.step("runs", lambda: len(recover_dead_runs(ctx)), 0)
    leader.step("uploads", lambda: forget_expired(ctx.home), 0)
    leader.step("output of jobs", lambda: forget_output(ctx), 0)
    refreshes = _each(leader, "sources", queue_refreshes, ctx)
    fired = _each(leader, "schedules", fire_due, ctx)
    _each(leader, "feature views", tell_late_views, ctx)
    sealed = leader.step("logs", lambda: seal_logs(ctx.home, force=replayed), 0)
    _each(leader, "parked outcomes", retry_parked, ctx)
    with ctx.read() as tx:
        names = [model.name for model in models.find(tx, ctx.project_id)]
    closer = Closer(ctx, LogReader(ctx.home))
    windows = sum(
        leader.step(f"windows of {name}", partial(closer.close, name), 0) for name in names
    )
    _each(leader, "windows", closer.keep)
    alerts = sum(_each(leader, f"alerts of {name}", raise_alerts, ctx, name) for name in names)
    _each(leader, "decisions", act.resume_decisions, ctx)
    enforced = _each(leader, "deadlines", act.enforce_deadlines, ctx)
    moved = leader.step("releases", lambda: sum(each.moved for each in advance_releases(ctx)), 0)
    verified = _each(leader, "verification", act.verify_decisions, ctx)
    _each(leader, "record of processing", queue_nightly, ctx)
    _each(leader, "explanations", queue_trials, ctx)
    _each(leader, "retention of the log", queue_expiry, ctx)
    _each(leader, "audit chain", seal_daily, ctx)
    leader.tell_unexpected()
    return TickReport(
        led=True,
        sealed=sealed,
        refreshes=refreshes,
        fired=fired,
        recovered=recovered,
        windows=windows,
        alerts=alerts,
        enforced=enforced,
        moved=moved,
        verified=verified,
        problems=leader.problems,
    )


def _each(leader: _Leader, name: str, work: Callable[..., list[Any]], *given: Any) -> int:
    return leader.step(name, lambda: len(work(*given)), 0)
