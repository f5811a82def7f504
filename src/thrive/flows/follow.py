"""The change feed as it happens: the one operation that streams."""

import time
from collections.abc import Iterator

from thrive.domain.actor import ANYONE
from thrive.domain.project import Change
from thrive.operations import Context, Kind, operation
from thrive.store import changes

LOOK_EVERY_S = 0.25


@operation("changes stream", kind=Kind.STREAM, role=ANYONE)
def changes_stream(ctx: Context, *, after: int = 0) -> Iterator[Change]:
    """Follow the change feed: what is new or different, as it happens, until stopped.

    Args:
        after: begin after this seq.

    Examples:
        thrive changes stream --after 120
    """
    while True:
        with ctx.read() as tx:
            found = changes.after(tx, ctx.project_id, after)
        yield from found
        if found:
            after = found[-1].seq
        else:
            time.sleep(LOOK_EVERY_S)
