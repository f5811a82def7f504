"""Reading releases: where each version stands on its road, and what was seen on the way."""

import msgspec

from thrive.domain.actor import ANYONE
from thrive.domain.release import Release, RoutingTable
from thrive.operations import Context, PageSize, operation
from thrive.release.machine import Place, placements
from thrive.store import releases


class ReleaseView(msgspec.Struct, frozen=True, kw_only=True):
    """A release, the traffic of its present state, and the routing table in force."""

    release: Release
    traffic: list[Place]
    routing: RoutingTable | None


@operation(
    "releases list",
    role=ANYONE,
    columns=(
        "release_id",
        "model",
        "candidate",
        "production",
        "state",
        "phase_started_at",
        "actor",
        "reason",
    ),
)
def releases_list(ctx: Context, *, model: str | None = None, limit: PageSize = 50) -> list[Release]:
    """List releases, newest first.

    Args:
        model: only this model's.
        limit: how many at most.

    Examples:
        thrive releases list --model flight-delay
    """
    with ctx.read() as tx:
        return releases.find(tx, ctx.project_id, model, limit)


@operation("releases show", role=ANYONE)
def releases_show(ctx: Context, release_id: str) -> ReleaseView:
    """Show one release: its phases, what each showed, and why it moved.

    Args:
        release_id: the id that `thrive releases list` shows.

    Examples:
        thrive releases show 01a20616b75476e08f93debcf13bb814
    """
    with ctx.read() as tx:
        release = releases.get(tx, ctx.project_id, release_id)
        routing = releases.current_routing(tx, ctx.project_id, release.model)
    return ReleaseView(release=release, traffic=placements(release), routing=routing)
