"""The replay itself: hour by hour, requests out, outcomes in, the clock on, the controller run."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from thrive.contract.schema import Contract
from thrive.domain.clock import DAY, HOUR, ClockMode, ClockState, format_time
from thrive.domain.errors import Refused, UsageError
from thrive.domain.monitoring import Alert, AlertState, Level
from thrive.domain.prediction import Outcome
from thrive.feedback import add_outcomes
from thrive.flows.controller import advance, send_due
from thrive.flows.replay.caller import Caller
from thrive.flows.replay.feed import Feed
from thrive.flows.replay.traffic import Traffic
from thrive.operations import Context
from thrive.store import monitoring, predictions, projects, releases
from thrive.store.prediction_frames import predictions_between

if TYPE_CHECKING:
    import polars as pl

OUTCOME_ROUND = 3 * HOUR
"""Outcomes are reported in rounds, as a feed would deliver them."""
SOURCE = "replay"
"""Who says so in the outcomes that a replay brings."""
LOOK_BACK = 45 * DAY
"""How far a resumed replay looks for predictions whose outcome is still to come."""


class ReplayReport(msgspec.Struct, frozen=True, kw_only=True):
    """How far a replay came, and why it stopped: `until` reached, or an alert wants a decision."""

    model: str
    started_at: str
    now: str
    finished: bool
    requests: int
    predictions: int
    outcomes: int
    new_alerts: list[str]
    reason: str


class Replay:
    """One stretch of a replay; the clock row in the store is its only memory.

    Killed at any moment it goes on where the clock stands: keys that were answered in the
    unfinished hour are not asked again, and outcomes are unique by prediction.
    """

    def __init__(
        self,
        context: Context,
        model: str,
        traffic: Traffic,
        feed: Feed,
        caller: Caller,
        until: int,
    ) -> None:
        self._context = context
        self._model = model
        self._traffic = traffic
        self._feed = feed
        self._caller = caller
        self._until = until
        self._truth = traffic.outcomes()
        self._waiting: list[tuple[int, str, str]] = []
        self._known_alerts = {alert.alert_id for alert in self._open_alerts()}
        self.requests = 0
        self.predictions = 0
        self.outcomes = 0

    def run(self) -> ReplayReport:
        """Go on until the end, or until an alert wants a decision."""
        start = self._context.now()
        answered = self._recover(start)
        hour, fresh = start - start % HOUR, self._fresh_alerts()
        while hour < self._until and not fresh:
            self._ask(hour, answered)
            answered = set()
            hour += HOUR
            self._set_clock(min(hour, self._until))
            self._report(start, hour)
            if hour % OUTCOME_ROUND == 0 or hour >= self._until:
                self._bring_outcomes(hour)
            if self._tick_due(hour):
                self._feed.follow(hour)
                advance(self._context)
                self._follow_routing()
                fresh = self._fresh_alerts()
        self._caller.close()
        send_due(self._context)
        return self._summary(start, fresh)

    def _ask(self, hour: int, answered: set[str]) -> None:
        requests = self._traffic.requests(hour, answered)
        if requests:
            self._feed.follow(hour)
        for request in requests:
            ids = self._caller.predict(request.rows, request.at)
            self.requests += 1
            self.predictions += len(ids)
            self._expect(zip(request.keys, ids, strict=True))

    def _expect(self, pairs: Iterable[tuple[str, str]]) -> None:
        for key, prediction_id in pairs:
            if key in self._truth:
                self._waiting.append((self._truth[key][1], key, prediction_id))

    def _bring_outcomes(self, now: int) -> None:
        due = [item for item in self._waiting if item[0] <= now]
        self._waiting = [item for item in self._waiting if item[0] > now]
        batch = [
            Outcome(
                prediction_id=prediction_id,
                value=self._truth[key][0],
                observed_at=known,
                recorded_at=now,
                source=SOURCE,
            )
            for known, key, prediction_id in due
        ]
        if batch:
            self.outcomes += add_outcomes(self._context, batch).added

    def _recover(self, now: int) -> set[str]:
        """Expect the outcomes of what was answered before; return the keys of this hour."""
        advance(self._context)
        self._follow_routing()
        column = f"k.{self._traffic.columns.key}"
        frame = predictions_between(self._context.home, now - LOOK_BACK, now + HOUR, self._model)
        if column not in frame.columns:
            return set()
        live = _live(frame)
        told = self._told(live["prediction_id"].to_list())
        pairs = [
            (str(key), value)
            for key, value in live.select(column, "prediction_id").rows()
            if value not in told
        ]
        self._expect(pairs)
        this_hour = live.filter(live["time"] >= now - now % HOUR)
        return {str(key) for key in this_hour[column].to_list()}

    def _told(self, ids: list[str]) -> set[str]:
        """Return the predictions whose outcome this replay has brought before."""
        if not ids:
            return set()
        with self._context.read() as tx:
            return predictions.told_by(
                tx, self._context.project_id, SOURCE, first_id=min(ids), last_id=max(ids)
            )

    def _set_clock(self, now: int) -> None:
        with self._context.home.write() as tx:
            state = ClockState(mode=ClockMode.REPLAY, replay_now=now)
            projects.set_clock(tx, self._context.project_id, state)

    def _tick_due(self, hour: int) -> bool:
        if hour % DAY == 0 or hour >= self._until:
            return True
        with self._context.read() as tx:
            running = releases.find_running(tx, self._context.project_id)
        return any(item.phases[item.position].bake < DAY for item in running)

    def _follow_routing(self) -> None:
        with self._context.read() as tx:
            table = releases.current_routing(tx, self._context.project_id, self._model)
        if table is not None:
            self._caller.wait_for_revision(table.revision)

    def _open_alerts(self) -> list[Alert]:
        with self._context.read() as tx:
            found = monitoring.find_alerts(
                tx,
                self._context.project_id,
                model=self._model,
                states=(AlertState.OPEN.value,),
            )
        return [alert for alert in found if alert.level is Level.ALERT]

    def _fresh_alerts(self) -> list[Alert]:
        return [item for item in self._open_alerts() if item.alert_id not in self._known_alerts]

    def _report(self, start: int, hour: int) -> None:
        share = (hour - start) / max(1, self._until - start)
        words = f"{format_time(hour)[:13]}h  {self.predictions:,} predictions"
        self._context.progress(min(1.0, share), words)

    def _summary(self, start: int, fresh: list[Alert]) -> ReplayReport:
        now = self._context.now()
        reason = "an alert wants a decision" if fresh else "the end of the stretch is reached"
        return ReplayReport(
            model=self._model,
            started_at=format_time(start),
            now=format_time(now),
            finished=now >= self._until,
            requests=self.requests,
            predictions=self.predictions,
            outcomes=self.outcomes,
            new_alerts=[alert.alert_id for alert in fresh],
            reason=reason,
        )


def _live(frame: "pl.DataFrame") -> "pl.DataFrame":
    return frame.filter(frame["variant"] != "shadow")


def refuse_real_clock(context: Context) -> None:
    """Refuse a project whose clock is real.

    Raises:
        Refused: it is.
    """
    if context.home.clock().mode is not ClockMode.REPLAY:
        raise Refused(
            "This project's clock is real; a replay would mix made-up time with its records.",
            "make a project for it: thrive init --clock replay --now 2013-05-01",
        )


def key_column(contract: Contract, model: str, given: str | None) -> str:
    """Return the column that identifies a request: the one given, or the contract's entity.

    Raises:
        UsageError: neither says.
    """
    terms = contract.model.get(model)
    if given:
        return given
    if terms is None or not terms.entity:
        raise UsageError(
            f"Nothing says which column identifies a request of {model}.",
            f'add entity = ["..."] to [model.{model}], or give --key',
        )
    return terms.entity[0]


def traffic_path(context: Context, path: Path) -> Path:
    """Return the traffic file's path, seen from the project's folder."""
    return path if path.is_absolute() else context.local_folder() / path
