"""What serving tells: its hosts, and single predictions."""

from thrive.domain.actor import ANYONE, AUTHORS
from thrive.domain.clock import machine_now
from thrive.operations import Context, operation
from thrive.serving.hosts import HostStatus, seen
from thrive.serving.lookup import PredictionRecord, find_prediction
from thrive.store import releases


@operation(
    "serving status",
    role=ANYONE,
    columns=(
        "host.host",
        "host.url",
        "up",
        "silent_for",
        "host.answered",
        "host.failed",
        "host.dropped",
        "host.revision",
    ),
)
def serving_status(ctx: Context) -> list[HostStatus]:
    """Show the hosts that serve: where, with which routing, and when they last spoke.

    Examples:
        thrive serving status
    """
    with ctx.read() as tx:
        hosts = releases.find_hosts(tx, ctx.project_id)
    return seen(hosts, machine_now())


@operation("predictions show", role=AUTHORS)
def predictions_show(ctx: Context, prediction_id: str) -> PredictionRecord:
    """Show one prediction: what was asked, answered, by which version, and what happened.

    Args:
        prediction_id: the 32 hex digits that came back with the prediction.

    Examples:
        thrive predictions show 019283740000000100000001000000a0
    """
    return find_prediction(ctx.home, prediction_id)
