"""Delivering the outbox: the operation that a worker executes for one message."""

from thrive.domain.actor import KEEPERS
from thrive.flows.messages import send
from thrive.monitoring.outbox import OPERATION
from thrive.operations import Context, Kind, operation


@operation(OPERATION, role=KEEPERS, kind=Kind.JOB)
def messages_send(
    ctx: Context, channel: str, subject: str, body: str, *, picture: str = ""
) -> None:
    """Send one message to a channel and return once the other side took it.

    Args:
        channel: `mailto:...`, `https://...`, `apprise:NAME`, `file:PATH` or `console:`.
        subject: one line.
        body: plain text.
        picture: SVG that a mail shows below its text.

    Raises:
        UsageError: the channel's form is unknown, or no mail server is set.
        Refused: the address leads into our own network.
        StoreUnavailable: the other side did not take it; it is tried again.

    Examples:
        thrive messages send mailto:desk@example.org "Model held" "flight-delay is held."
    """
    send(channel, subject, body, ctx.folder or ctx.home.folder, picture)
