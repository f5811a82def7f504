"""Releases, newest first."""

import msgspec

from thrive.domain.release import Release
from thrive.operations import Context
from thrive.store import releases

MOST = 200
"""Releases that a page shows."""


class ReleasesPage(msgspec.Struct, frozen=True, kw_only=True):
    """The newest releases of all models; `cut` tells that there are more."""

    now: int
    cut: bool
    releases: list[Release]


def load(ctx: Context) -> ReleasesPage:
    """Return the newest releases."""
    with ctx.read() as tx:
        found = releases.find(tx, ctx.project_id, limit=MOST + 1)
    return ReleasesPage(now=ctx.now(), cut=len(found) > MOST, releases=found[:MOST])
