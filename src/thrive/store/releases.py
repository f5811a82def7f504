"""Releases, the routing table with its history, and the serving hosts."""

from collections.abc import Sequence

import sqlalchemy as sa

from thrive.domain.errors import Conflict
from thrive.domain.release import Release, RoutingTable, ServingHost
from thrive.store.database import Tx
from thrive.store.rows import batched, insert_missing, many, mine, named, one, to_row, upsert
from thrive.store.tables.releases import releases, routing, serving_hosts


def save(tx: Tx, project_id: str, release: Release) -> None:
    """Insert a release, or write its present state."""
    upsert(tx, project_id, releases, release)


def get(tx: Tx, project_id: str, release_id: str) -> Release:
    """Return a release by its id, or by the beginning of it (8 digits or more).

    Raises:
        NotFound: there is none.
        UsageError: the beginning fits several.
    """
    return named(tx, project_id, Release, releases.c.release_id, release_id, "release")


def find(
    tx: Tx, project_id: str, model: str | None = None, limit: int | None = 50
) -> list[Release]:
    """Return releases, newest first; all of them for a limit of None."""
    query = mine(releases, project_id).order_by(releases.c.release_id.desc()).limit(limit)
    return many(tx, Release, query.where(releases.c.model == model) if model else query)


def find_done(tx: Tx, project_id: str, model: str, version: int) -> Release | None:
    """Return the newest release that brought a version to all of its users, None without any."""
    query = mine(releases, project_id).where(
        releases.c.model == model, releases.c.candidate == version, releases.c.state == "done"
    )
    return one(tx, Release, query.order_by(releases.c.release_id.desc()).limit(1))


def was_candidate(tx: Tx, project_id: str, model: str, version: int) -> bool:
    """Tell whether a version was ever sent on its way to users."""
    query = mine(releases, project_id).where(
        releases.c.model == model, releases.c.candidate == version
    )
    return tx.execute(query.limit(1)).first() is not None


def newest_ids(tx: Tx, project_id: str) -> list[str]:
    """Return the ids of the newest release of each model, and of all that are on their way."""
    newest = (
        sa.select(sa.func.max(releases.c.release_id))
        .where(releases.c.project_id == project_id)
        .group_by(releases.c.model)
    )
    running = sa.select(releases.c.release_id).where(
        releases.c.project_id == project_id, releases.c.state.in_(("running", "held"))
    )
    return list(tx.execute(newest.union(running)).scalars())


def some(tx: Tx, project_id: str, release_ids: Sequence[str]) -> dict[str, Release]:
    """Return releases by their ids."""
    return {
        each.release_id: each
        for part in batched(release_ids)
        for each in many(
            tx, Release, mine(releases, project_id).where(releases.c.release_id.in_(part))
        )
    }


def find_running(tx: Tx, project_id: str) -> list[Release]:
    """Return the releases that are on their way, held ones included."""
    query = mine(releases, project_id).where(releases.c.state.in_(("running", "held")))
    return many(tx, Release, query.order_by(releases.c.release_id))


def current_routing(tx: Tx, project_id: str, model: str) -> RoutingTable | None:
    """Return what is live for a model now, None when nothing ever was."""
    query = mine(routing, project_id).where(routing.c.model == model)
    return one(tx, RoutingTable, query.order_by(routing.c.revision.desc()))


def revisions(tx: Tx, project_id: str) -> dict[str, int]:
    """Return the revision in force of each model that ever had anything live."""
    query = (
        sa.select(routing.c.model, sa.func.max(routing.c.revision))
        .where(routing.c.project_id == project_id)
        .group_by(routing.c.model)
    )
    return {model: revision for model, revision in tx.execute(query)}  # noqa: C416 - a result is no pair sequence


def routing_at(
    tx: Tx, project_id: str, revised: Sequence[tuple[str, int]]
) -> dict[str, RoutingTable]:
    """Return routing tables of many models by their (model, revision), by model."""
    key = sa.tuple_(routing.c.model, routing.c.revision)
    return {
        table.model: table
        for some in batched(revised)
        for table in many(tx, RoutingTable, mine(routing, project_id).where(key.in_(some)))
    }


def routing_history(tx: Tx, project_id: str, model: str) -> list[RoutingTable]:
    """Return every routing table a model ever had, newest first."""
    query = mine(routing, project_id).where(routing.c.model == model)
    return many(tx, RoutingTable, query.order_by(routing.c.revision.desc()))


def move_routing(tx: Tx, project_id: str, table: RoutingTable, expected: int) -> None:
    """Put a new routing table in force if the present one has the expected revision.

    Raises:
        Conflict: somebody else moved it first.
    """
    current = current_routing(tx, project_id, table.model)
    present = current.revision if current else 0
    in_time = present == expected and table.revision == expected + 1
    if not in_time or not insert_missing(tx, routing, [to_row(project_id, table, routing)]):
        raise Conflict(
            f"The routing of {table.model} is not at revision {expected} any more.",
            f"thrive models show {table.model}, then decide again",
        )


def save_host(tx: Tx, project_id: str, host: ServingHost) -> None:
    """Write the last word of a serving agent."""
    upsert(tx, project_id, serving_hosts, host)


def find_hosts(tx: Tx, project_id: str) -> list[ServingHost]:
    """Return every serving agent that ever spoke, latest first."""
    query = mine(serving_hosts, project_id).order_by(serving_hosts.c.seen_at.desc())
    return many(tx, ServingHost, query)
