"""Taking outcomes in: each (prediction, source, revision) once, unknown ids kept and counted."""

from collections.abc import Iterable

import msgspec

from thrive.domain.errors import UsageError
from thrive.domain.prediction import Outcome, SealedLog
from thrive.operations import Context
from thrive.store import predictions
from thrive.store.eventlog import segments
from thrive.store.eventlog.prediction_id import PredictionId, parse_prediction_id
from thrive.store.home import Home

_BATCH = 20_000
"""Outcomes a transaction: the home's only writer is never held for long."""


class OutcomesAdded(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a batch of outcomes.

    Attributes:
        received: outcomes with a value.
        added: not known before.
        known: known already by prediction, source and revision; they were left as they are.
        orphans: their prediction is not in the log that this home can see; kept, they join as
            soon as it is.
        empty: rows without a value, left out.
        parked: outcomes by keys nobody was asked about yet; they are tried again.
    """

    received: int
    added: int
    known: int
    orphans: int
    empty: int = 0
    parked: int = 0

    @property
    def next_hint(self) -> str:
        """What to type next; where something was left as it was, how to correct it."""
        if self.known:
            left = f"{self.known} known before and left as they were"
            return f"thrive outcomes status ({left}: a correction needs a higher revision)"
        if self.parked or self.orphans:
            return "thrive outcomes parked"
        return "thrive outcomes status (answers of the last minute are counted a minute later)"


def add_outcomes(ctx: Context, outcomes: list[Outcome]) -> OutcomesAdded:
    """Record what really happened after predictions.

    The same outcome twice is one; a correction is a higher revision. `recorded_at` is the
    project's present moment, whatever the batch says.

    Args:
        ctx: who reports, and where.
        outcomes: in any order; those without a value are left out and counted.
    """
    now = ctx.now()
    told = [
        msgspec.structs.replace(outcome, recorded_at=now)
        for outcome in outcomes
        if outcome.value is not None and outcome.value == outcome.value
    ]
    added = 0
    for start in range(0, len(told), _BATCH):
        with ctx.observe("outcomes:batch") as tx:
            added += predictions.insert_outcomes(tx, ctx.project_id, told[start : start + _BATCH])
    return OutcomesAdded(
        received=len(told),
        added=added,
        known=len(told) - added,
        orphans=len(orphans(ctx.home, (outcome.prediction_id for outcome in told))),
        empty=len(outcomes) - len(told),
    )


def orphans(home: Home, prediction_ids: Iterable[str]) -> list[str]:
    """Return the ids whose prediction is neither sealed nor in this host's open log."""
    ids = list(prediction_ids)
    parsed = {text: place for text in ids if (place := _place(text)) is not None}
    if not parsed:
        return ids
    times = [place.time for place in parsed.values()]
    with home.read() as tx:
        sealed = predictions.find_sealed(
            tx, home.project_id, min(times) - _SLACK, max(times) + _SLACK
        )
    stretches: dict[tuple[int, int], list[SealedLog]] = {}
    for row in sealed:
        stretches.setdefault((row.worker, row.segment), []).append(row)
    local = {(each.worker, each.segment) for each in segments(home.log_folder)}
    return [text for text in ids if not _is_known(parsed.get(text), stretches, local)]


_SLACK = 60_000_000
"""An id holds whole milliseconds, and a request may name its own event time."""


def _place(text: str) -> PredictionId | None:
    try:
        return parse_prediction_id(text)
    except UsageError:
        return None


def _is_known(
    place: PredictionId | None,
    stretches: dict[tuple[int, int], list[SealedLog]],
    local: set[tuple[int, int]],
) -> bool:
    if place is None:
        return False
    key = (place.worker, place.segment)
    held = stretches.get(key, [])
    return key in local or any(row.from_offset <= place.offset < row.to_offset for row in held)
