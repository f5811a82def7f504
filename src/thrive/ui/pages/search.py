"""Search: everything of a name, whatever it is."""

from urllib.parse import quote

import msgspec

from thrive.domain.errors import NotFound, UsageError
from thrive.operations import Context
from thrive.store import datasets, features, models, monitoring, runs
from thrive.tracking.filters import Comparison, Kind
from thrive.tracking.search import Query, index_of

MOST = 20
"""Hits of one kind."""


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was found: what it is, its name, a few more words, and its page."""

    kind: str
    name: str
    said: str
    link: str


class SearchPage(msgspec.Struct, frozen=True, kw_only=True):
    """What was found for some words; `cut` tells that there is more of a kind."""

    now: int
    q: str
    hits: list[Hit]
    cut: bool


def load(ctx: Context, q: str = "") -> SearchPage:
    """Return everything whose name holds the words, or whose id begins with them."""
    wanted = q.strip()[:200]
    hits = _hits(ctx, wanted) if wanted else []
    kinds = [hit.kind for hit in hits]
    cut = any(kinds.count(kind) >= MOST for kind in set(kinds))
    return SearchPage(now=ctx.now(), q=wanted, hits=hits, cut=cut)


def _hits(ctx: Context, wanted: str) -> list[Hit]:
    low = wanted.lower()
    with ctx.read() as tx:
        project = ctx.project_id
        found = [
            Hit(kind="model", name=each.name, said=each.purpose, link=f"/models/{quote(each.name)}")
            for each in models.find(tx, project)
            if low in each.name.lower()
        ][:MOST]
        found += [
            Hit(kind="dataset", name=each.name, said=each.why, link=f"/data/{quote(each.name)}")
            for each in datasets.find(tx, project)
            if low in each.name.lower()
        ][:MOST]
        found += [
            Hit(
                kind="alert",
                name=each.title,
                said=f"{each.model}, {each.state}",
                link=f"/alerts/{each.alert_id}",
            )
            for each in monitoring.find_alerts(tx, project)
            if low in f"{each.title} {each.model} {each.owner}".lower()
            or each.alert_id.startswith(low)
        ][:MOST]
        found += [
            Hit(
                kind="feature view",
                name=each.name,
                said=f"version {each.version}",
                link=f"/lineage?of=view:{quote(each.name)}",
            )
            for each in features.newest(tx, project)
            if low in each.name.lower()
        ][:MOST]
        names = [name for name, _ in index_of(ctx.home).experiments(tx)]
        found += [
            Hit(kind="experiment", name=name, said="", link=f"/runs?experiment={quote(name)}")
            for name in names
            if low in name.lower()
        ][:MOST]
    return found + _runs(ctx, wanted)


def _runs(ctx: Context, wanted: str) -> list[Hit]:
    """Return the run of an id, and those whose names hold the words."""
    escaped = wanted.replace("\\", "").replace("%", "").replace("_", "")
    like = Comparison(Kind.ATTRIBUTE, "run_name", "ILIKE", f"%{escaped}%")
    with ctx.read() as tx:
        try:
            found = [runs.get(tx, ctx.project_id, wanted.lower())]
        except (NotFound, UsageError):
            query = Query(experiments=None, conditions=[like] if escaped else [], limit=MOST)
            found, _ = index_of(ctx.home).search(tx, query)
    return [
        Hit(
            kind="run",
            name=each.name or each.run_id,
            said=f"{each.experiment}, {each.state}",
            link=f"/runs/{each.run_id}",
        )
        for each in found
    ]
