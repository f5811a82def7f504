"""Outcomes that name what they are of by its keys and a time, not by a prediction's id.

Such an outcome answers every prediction of those keys in the stretch of time before it. One that
finds none is parked and tried again: the predictions may not be shipped yet, or the keys are wrong.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from blake3 import blake3

from thrive.contract.parse import parse_stored
from thrive.contract.schema import ModelTerms
from thrive.domain.clock import DAY, MINUTE, parse_duration
from thrive.domain.errors import UsageError
from thrive.domain.prediction import Outcome, ParkedOutcome
from thrive.domain.pseudonyms import is_pseudonym
from thrive.feedback.outcomes import OutcomesAdded, add_outcomes
from thrive.operations import Context
from thrive.store import models, parked, projects
from thrive.store.home import Home
from thrive.store.prediction_frames import predictions_between

if TYPE_CHECKING:
    import polars as pl

WITHIN = 30 * DAY
"""How long before an outcome its predictions were made, where neither call nor contract says."""
KEPT = 90 * DAY
"""How long an outcome waits for its prediction."""
_STRETCH = 7 * DAY
_PATIENCE = 4
"""A parked outcome is tried again when it is older by a quarter; at most once a minute."""


def add_by_entity(
    ctx: Context, model: str, rows: Sequence[ParkedOutcome], within: str = ""
) -> OutcomesAdded:
    """Record outcomes of the predictions that were made of the same keys before them.

    Args:
        ctx: who reports, and where.
        model: whose predictions; its contract says which columns are keys.
        rows: in any order; of their columns only the keys count.
        within: how long before an outcome its predictions were made; if left out as long as the
            contract says (`outcomes_within`), else 30 days.

    Raises:
        NotFound: there is no such model.
        UsageError: its contract names no keys, or a row lacks one or has a pseudonym for it.
    """
    keys, usual = _keys_of(ctx, model)
    length = parse_duration(within) if within else usual
    told = [row for row in rows if row.value is not None and row.value == row.value]
    asked = [_keyed(row, model, keys, length, ctx.now()) for row in told]
    found, left = matched(ctx.home, model, asked)
    added = add_outcomes(ctx, found)
    with ctx.observe("outcomes:parked") as tx:
        parked.save(tx, ctx.project_id, *left)
    return msgspec.structs.replace(
        added, received=len(told), empty=len(rows) - len(told), parked=len(left)
    )


def _keys_of(ctx: Context, model: str) -> tuple[list[str], int]:
    """Return a model's keys and how long after a prediction its outcome is known."""
    with ctx.read() as tx:
        version = models.get_version(tx, ctx.project_id, model)
        stored = projects.find_contract(tx, ctx.project_id, version.contract)
    contract = parse_stored(stored.text).contract.model if stored is not None else {}
    terms = contract.get(model, ModelTerms())
    if not terms.entity:
        raise UsageError(
            f"The contract of {model} names no keys.",
            f'write entity = ["..."] in [model.{model}], or give prediction ids',
        )
    usual = terms.sla.outcomes_within
    return terms.entity, parse_duration(usual) if usual else WITHIN


def _keyed(
    row: ParkedOutcome, model: str, keys: Sequence[str], within: int, now: int
) -> ParkedOutcome:
    missing = [name for name in keys if row.entity.get(name) is None]
    if missing:
        raise UsageError(
            f"An outcome of {model} has no {', '.join(missing)}.",
            f"give prediction_id, or the keys {', '.join(keys)}",
        )
    entity = {name: row.entity[name] for name in keys}
    hidden = [name for name, value in entity.items() if is_pseudonym(str(value))]
    if hidden:
        raise UsageError(
            f"An outcome of {model} names pseudonyms as its {', '.join(hidden)}: predictions are "
            "logged with the values themselves, so none would be found.",
            "read the table with a grant (thrive grants give), or give prediction ids",
        )
    named = msgspec.json.encode([model, entity, row.at, row.source, row.revision])
    return msgspec.structs.replace(
        row,
        parked_id=blake3(named).hexdigest()[:32],
        model=model,
        entity=entity,
        within=within,
        recorded_at=now,
        tried_at=now,
    )


def matched(
    home: Home, model: str, rows: Sequence[ParkedOutcome]
) -> tuple[list[Outcome], list[ParkedOutcome]]:
    """Return the outcomes of the predictions that rows answer, and the rows that answer none.

    Args:
        home: the project's home.
        model: whose predictions.
        rows: with the keys of that model.
    """
    found: list[Outcome] = []
    left: list[ParkedOutcome] = []
    ordered = sorted(rows, key=lambda row: row.at)
    while ordered:
        end = ordered[0].at + _STRETCH
        part = [row for row in ordered if row.at < end]
        ordered = ordered[len(part) :]
        answered = _answered(home, model, part)
        for place, row in enumerate(part):
            found += [_outcome(row, name) for name in answered.get(place, [])]
            if place not in answered:
                left.append(row)
    return found, left


def _outcome(row: ParkedOutcome, prediction_id: str) -> Outcome:
    return Outcome(
        prediction_id=prediction_id,
        value=row.value,
        observed_at=row.observed_at,
        recorded_at=row.recorded_at,
        source=row.source,
        revision=row.revision,
        reason=row.reason,
    )


def _answered(home: Home, model: str, rows: Sequence[ParkedOutcome]) -> dict[int, list[str]]:
    """Return the ids of the predictions that each row answers, by its place."""
    import polars as pl

    keys = list(rows[0].entity)
    logged = _predictions(home, model, keys, rows)
    if logged is None:
        return {}
    asked = pl.DataFrame(
        {
            "_place": range(len(rows)),
            "_until": [row.at for row in rows],
            "_since": [row.at - row.within for row in rows],
            **{f"k.{name}": [row.entity[name] for row in rows] for name in keys},
        }
    )
    joined = asked.join(logged, on=[f"k.{name}" for name in keys])
    during = joined.filter(pl.col("time").is_between(pl.col("_since"), pl.col("_until")))
    grouped = during.group_by("_place").agg(pl.col("prediction_id"))
    return dict(zip(grouped["_place"].to_list(), grouped["prediction_id"].to_list(), strict=True))


def _predictions(
    home: Home, model: str, keys: Sequence[str], rows: Sequence[ParkedOutcome]
) -> "pl.DataFrame | None":
    import polars as pl

    columns = [f"k.{name}" for name in keys]
    frame = predictions_between(
        home,
        min(row.at - row.within for row in rows),
        max(row.at for row in rows) + 1,
        model,
        columns=["prediction_id", "time", "variant", *columns],
    )
    if not set(columns) <= set(frame.columns):
        return None
    return frame.filter(pl.col("variant") != "shadow").with_columns(pl.col(columns).cast(pl.String))


def retry_parked(ctx: Context, *, force: bool = False) -> list[Outcome]:
    """Try parked outcomes again, the younger ones more often; those of 90 days are dropped.

    Args:
        ctx: the project.
        force: try all of them, whenever they were tried last.

    Returns:
        The outcomes whose predictions were found.
    """
    now = ctx.now()
    with ctx.read() as tx:
        waiting = parked.find(tx, ctx.project_id)
    old = [row for row in waiting if now - row.recorded_at > KEPT]
    due = [row for row in waiting if force or _is_due(row, now)]
    due = [row for row in due if now - row.recorded_at <= KEPT]
    if not old and not due:
        return []
    found: list[Outcome] = []
    left: list[ParkedOutcome] = []
    for model in sorted({row.model for row in due}):
        some = matched(ctx.home, model, [row for row in due if row.model == model])
        found += some[0]
        left += some[1]
    add_outcomes(ctx, found)
    again = {row.parked_id for row in left}
    gone = [row.parked_id for row in (*old, *due) if row.parked_id not in again]
    with ctx.observe("outcomes:parked") as tx:
        parked.delete(tx, ctx.project_id, gone)
        tried = [msgspec.structs.replace(row, tried_at=now) for row in left]
        parked.save(tx, ctx.project_id, *tried)
    return found


def _is_due(row: ParkedOutcome, now: int) -> bool:
    age = row.tried_at - row.recorded_at
    return now - row.tried_at >= max(MINUTE, age // _PATIENCE)
