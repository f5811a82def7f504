"""The review queue: people look at single answers, and what they say is an outcome.

While an alert is answered by `review`, the answers since it began stand in the queue, those that
were nearest to being decided otherwise first. What a person says is kept as a further revision of
the outcome, from the source `review`: real performance and the next training see it.
"""

from typing import Any

import msgspec

from thrive.domain.actor import APPROVERS, AUTHORS
from thrive.domain.duty import Review
from thrive.domain.errors import UsageError
from thrive.domain.monitoring import ActionKind, Alert, AlertState
from thrive.domain.prediction import Outcome
from thrive.feedback.outcomes import OutcomesAdded, add_outcomes, orphans
from thrive.flows.seen_predictions import Hide, hiding_of
from thrive.monitoring.terms import terms_of
from thrive.operations import Context, PageSize, operation
from thrive.serving.lookup import PredictionRecord, find_prediction
from thrive.store import models, monitoring, oversight
from thrive.store.prediction_frames import predictions_between, with_outcomes

SOURCE = "review"
"""The source of outcomes that people said in a review."""
KEEP, OVERRIDE = "keep", "override"
"""What a review says of the model's answer."""
_HELD = (AlertState.DECIDED, AlertState.DONE)


class ReviewItem(msgspec.Struct, frozen=True, kw_only=True):
    """One answer that a person should look at.

    `why` is the alert's title; `inputs` are as they were served.
    """

    prediction_id: str
    time: int
    score: float | None
    decision: str | None
    inputs: dict[str, Any]
    alert_id: str
    why: str


@operation("reviews list", role=AUTHORS, next_hint="thrive reviews answer PREDICTION VALUE")
def reviews_list(ctx: Context, model: str, *, limit: PageSize = 20) -> list[ReviewItem]:
    """List the answers that wait for a person, the least certain first.

    Inputs that hold personal data are pseudonyms unless a grant lets you read them.

    Args:
        model: whose answers.
        limit: how many.

    Raises:
        NotFound: there is no such model.

    Examples:
        thrive reviews list flight-delay
    """
    alert = _under_review(ctx, model)
    if alert is None:
        return []
    import polars as pl

    with ctx.read() as tx:
        version = models.get_version(tx, ctx.project_id, model, alert.version)
    target = terms_of(ctx, version).model.target
    start = alert.first_bad if alert.first_bad is not None else alert.opened_at
    frame = predictions_between(ctx.home, start, ctx.now() + 1, model)
    live = frame.filter((pl.col("variant") != "shadow") & (pl.col("error") == ""))
    far = (pl.col("score") - target.threshold).abs()
    unsure = far if target.positive is not None else pl.col("score")  # the share of its class
    waiting = with_outcomes(ctx.home, live).filter(pl.col("outcome").is_null())
    chosen = waiting.sort(unsure, "prediction_id", nulls_last=True).head(limit)
    names = {name[2:] for name in chosen.columns if name.startswith("x.")}
    hide = hiding_of(ctx, model, version.version, names, chosen.height)
    return [_item(row, alert, hide) for row in chosen.to_dicts()]


def _item(row: dict[str, Any], alert: Alert, hide: Hide) -> ReviewItem:
    return ReviewItem(
        prediction_id=row["prediction_id"],
        time=row["time"],
        score=row["score"],
        decision=row["decision"],
        inputs={name[2:]: hide(name[2:], row[name]) for name in row if name.startswith("x.")},
        alert_id=alert.alert_id,
        why=alert.title,
    )


def _under_review(ctx: Context, model: str) -> Alert | None:
    """Return the newest alert of a model that was answered by a review and is not closed."""
    with ctx.read() as tx:
        models.get(tx, ctx.project_id, model)
        alerts = monitoring.find_alerts(tx, ctx.project_id, model=model)
        newest = {
            alert.alert_id: monitoring.find_decisions(tx, ctx.project_id, alert.alert_id)[:1]
            for alert in alerts
            if alert.state in _HELD
        }
    for alert in alerts:
        for decision in newest.get(alert.alert_id, []):
            if decision.action is ActionKind.REVIEW:
                return alert
    return None


@operation("reviews answer", role=APPROVERS, writes=True, next_hint="thrive reviews list MODEL")
def reviews_answer(
    ctx: Context, prediction_id: str, value: float | str, *, reason: str = ""
) -> OutcomesAdded:
    """Say what the right answer was; it counts as an outcome, before what was said till now.

    Args:
        prediction_id: the id of the answer.
        value: what is right: a number, 1 and 0 for yes and no, or the name of a class.
        reason: why, for those who read it later; whoever overrides the model says it.

    Raises:
        UsageError: there is no such prediction, the value is no number, or the model is overridden
            without a reason.

    Examples:
        thrive reviews answer 019283740000000100000001000000a0 1 --reason "seen on the camera"
    """
    if orphans(ctx.home, [prediction_id]):
        raise UsageError(f"There is no prediction {prediction_id}.", "thrive reviews list MODEL")
    if value != value:  # noqa: PLR0124 - only NaN differs from itself
        raise UsageError("NaN is no answer.", "thrive reviews answer PREDICTION VALUE")
    answered = find_prediction(ctx.home, prediction_id)
    review = _review(ctx, answered, value, reason.strip())
    if review.decision == OVERRIDE and not review.reason:
        raise UsageError("An override needs a reason.", '--reason "..."')
    known = answered.outcomes
    outcome = Outcome(
        prediction_id=prediction_id,
        value=value,
        observed_at=ctx.now(),
        recorded_at=ctx.now(),
        source=SOURCE,
        revision=max((item.revision for item in known), default=-1) + 1,
        reason=f"{ctx.actor.name}: {reason}".rstrip(": "),
    )
    added = add_outcomes(ctx, [outcome])
    with ctx.write(f"prediction:{prediction_id}", reason=reason) as tx:
        oversight.save_review(tx, ctx.project_id, review)
    return added


def _review(ctx: Context, answered: PredictionRecord, value: float | str, reason: str) -> Review:
    """Return the record of a review: whether a person kept the answer or overrode it."""
    alert = _under_review(ctx, answered.model)
    with ctx.read() as tx:
        version = models.get_version(tx, ctx.project_id, answered.model, answered.version)
    target = terms_of(ctx, version).model.target
    if target.positive is not None and answered.score is not None:
        yes = value == str(target.positive) if isinstance(value, str) else value > 0.5
        kept = (answered.score >= target.threshold) == yes
    else:
        kept = value in {answered.score, answered.decision}
    return Review(
        prediction_id=answered.prediction_id,
        model=answered.model,
        version=answered.version,
        why=alert.title if alert else "",
        asked_by=alert.owner if alert else ctx.actor.name,
        asked_at=alert.opened_at if alert else ctx.now(),
        decision=KEEP if kept else OVERRIDE,
        value=value,
        reason=reason,
        reviewer=ctx.actor.name,
        decided_at=ctx.now(),
    )
