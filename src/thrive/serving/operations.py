"""What serving tells of its hosts."""

from thrive.domain.actor import ANYONE
from thrive.domain.clock import machine_now
from thrive.operations import Context, operation
from thrive.serving.hosts import HostStatus, seen
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
        "host.unregistered",
        "host.revision",
    ),
)
def serving_status(ctx: Context) -> list[HostStatus]:
    """Show the hosts that serve: where, with which routing, and when they last spoke.

    `unregistered` counts the tokens there that name no consumer with a purpose: their holders may
    ask every model.

    Examples:
        thrive serving status
    """
    with ctx.read() as tx:
        hosts = releases.find_hosts(tx, ctx.project_id)
    return seen(hosts, machine_now())
