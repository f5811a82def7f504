"""Explanations on trial: once a day an answer of what is live is reproduced and explained.

Who is subject to a decision may ask for an explanation (AI Act art. 86). That it could be given is
seen before somebody asks.
"""

from thrive.domain.actor import KEEPERS
from thrive.domain.clock import DAY
from thrive.domain.duty import ExplanationTrial
from thrive.domain.errors import ThriveError
from thrive.domain.identifiers import new_id
from thrive.domain.project import Job
from thrive.governance.keeping import queue_daily
from thrive.operations import Context, Kind, operation
from thrive.serving.sealing import seal_logs
from thrive.store import models, oversight, releases
from thrive.store.eventlog import segments

TRY = "explanations try"
"""The operation that a worker executes once a day: it loads models, and a tick loads none."""
NAMED = 3
"""Inputs that the words of a trial name."""


@operation(TRY, role=KEEPERS, kind=Kind.JOB, writes=True)
def explanations_try(ctx: Context) -> list[ExplanationTrial]:
    """Explain the newest answer of each version in production; the tick asks for it once a day.

    Whether it was reproduced and what it rests on stands in the technical file, and a failure in
    `duties list`.

    Examples:
        thrive explanations try
    """
    if segments(ctx.home.log_folder):  # what this host answered lately is not in its home yet
        seal_logs(ctx.home, force=True)
    made = [trial for model, version in _live(ctx) if (trial := _tried(ctx, model, version))]
    for each in made:
        with ctx.observe(f"explanation:{each.trial_id}") as tx:
            oversight.add_trial(tx, ctx.project_id, each)
    return made


def _live(ctx: Context) -> list[tuple[str, int]]:
    """Return what is in production, by model and version."""
    with ctx.read() as tx:
        names = [each.name for each in models.find(tx, ctx.project_id)]
        tables = [releases.current_routing(tx, ctx.project_id, name) for name in names]
    live = ((table.model, table.production()) for table in tables if table is not None)
    return [(model, variant.version) for model, variant in live if variant is not None]


def _tried(ctx: Context, model: str, version: int) -> ExplanationTrial | None:
    """Return the trial of a version's newest answer of the last days; None where it gave none."""
    from thrive.serving.explaining import explain_prediction

    newest = _newest(ctx, model, version)
    if newest is None:
        return None
    try:
        found = explain_prediction(ctx.home, newest)
    except ThriveError as error:
        reproduced, words = False, error.what
    else:
        reproduced = found.reproduced
        most = ", ".join(f"{each.name} {each.adds:+.3g}" for each in found.shares[:NAMED])
        words = f"score {found.score:.4g}, most from {most}"
        if not reproduced:
            words = f"the version answers {found.score!r} now and {found.recorded!r} then"
    return ExplanationTrial(
        trial_id=new_id(),
        model=model,
        version=version,
        prediction_id=newest,
        at=ctx.now(),
        reproduced=reproduced,
        words=words,
    )


def _newest(ctx: Context, model: str, version: int) -> str | None:
    from thrive.store.prediction_frames import predictions_between

    now = ctx.now()
    names = ["prediction_id", "time", "error", "variant"]
    found = predictions_between(ctx.home, now - 2 * DAY, now + 1, model, version, columns=names)
    if not found.height:
        return None
    answered = found.filter((found["error"] == "") & (found["variant"] != "shadow"))
    return str(answered.sort("time")["prediction_id"][-1]) if answered.height else None


def queue_trials(ctx: Context) -> list[Job]:
    """Queue the trials, once a day where something is live."""
    with ctx.read() as tx:
        newest = oversight.find_trials(tx, ctx.project_id, limit=1)
        due = not newest or newest[0].at + DAY <= ctx.now()
        if not due or not releases.revisions(tx, ctx.project_id):
            return []
    return queue_daily(ctx, TRY)
