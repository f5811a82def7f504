"""Feature views of a project: what is declared, bringing it online, reading it by key."""

from collections.abc import Sequence
from typing import Any

import msgspec

from thrive.contract.schema import DataTerms
from thrive.data.access import log_read, view_of
from thrive.domain.actor import AUTHORS
from thrive.domain.clock import format_duration, parse_time
from thrive.domain.errors import NotFound, UsageError
from thrive.domain.features import FeatureView
from thrive.features.declare import View
from thrive.features.discover import FILE, load_declared
from thrive.flows.contracts import contract_here
from thrive.flows.feature_rows import rows_of, sources_of
from thrive.flows.online_views import MaterializedLine, bring_online, online_of, stands
from thrive.operations import Context, Kind, operation
from thrive.store import datasets, features
from thrive.store.online import Lookup, open_online
from thrive.store.pseudonym_keys import pseudonym_key
from thrive.store.pseudonyms import pseudonym


class PlanLine(msgspec.Struct, frozen=True, kw_only=True):
    """What `features materialize` would do with one view, and why."""

    view: str
    change: str
    version: int
    sources: list[str]
    action: str


class FeatureValues(msgspec.Struct, frozen=True, kw_only=True):
    """Values of views for one key, as serving would read them now.

    `pseudonyms` names those that hold personal data which the reader may not see.
    """

    key: dict[str, Any]
    values: dict[str, Any]
    status: dict[str, str]
    age: dict[str, str]
    pseudonyms: list[str] = []


@operation("features plan", kind=Kind.CLIENT, role=AUTHORS, next_hint="thrive features materialize")
def plan(ctx: Context) -> list[PlanLine]:
    """Compare `features.py` with what is registered, and say what materializing would do.

    Raises:
        NotFound: there is no `features.py`, or a source was never added.
        UsageError: it cannot be imported, a view yields no rows of a known form, or serving could
            not compute an on-demand feature.

    Examples:
        thrive features plan
    """
    declared = load_declared(ctx.local_folder())
    for feature in declared.on_demand.values():
        feature.packed()
    return [_planned(ctx, view) for view in declared.views.values()]


@operation(
    "features materialize",
    kind=Kind.CLIENT,
    role=AUTHORS,
    writes=True,
    next_hint="thrive features list",
)
def materialize(
    ctx: Context, views: list[str] | None = None, *, until: str = ""
) -> list[MaterializedLine]:
    """Bring the newest value of each key online, for the views of `features.py`.

    Each view is one transaction: interrupted, it is done with the next call. The same data again
    writes nothing; otherwise only rows that differ are written.

    Args:
        views: which; all of them if none is named.
        until: what can be known up to this moment; now if not said.

    Raises:
        NotFound: there is no such view, or a source was never added.
        UsageError: a view yields no rows of a known form.

    Examples:
        thrive features materialize
        thrive features materialize weather --until 2013-05-01T06:00Z
    """
    declared = load_declared(ctx.local_folder())
    moment = parse_time(until) if until else ctx.now()
    names = list(views or declared.views)
    lines: list[MaterializedLine] = []
    for number, name in enumerate(names):
        ctx.progress(number / len(names), name)
        lines.append(_brought(ctx, declared.view(name), moment))
    return lines


def _brought(ctx: Context, view: View, moment: int) -> MaterializedLine:
    """Bring a view online; what its expressions raise over the rows is told with its name."""
    from polars.exceptions import PolarsError

    try:
        return bring_online(ctx, view, moment)
    except PolarsError as error:
        raise UsageError(
            f"View {view.name!r} failed over its rows: {type(error).__name__}: {error}",
            f"mend {FILE}",
        ) from error


@operation("features get", role=AUTHORS)
def get(ctx: Context, views: list[str] | None = None, *, key: list[str]) -> FeatureValues:
    """Read the values of views for one key, as serving would now.

    Columns that hold personal data of a source are pseudonyms unless a grant lets you read them.

    Args:
        views: which; all that are about the key if none is named.
        key: the entity, as NAME=VALUE; several for a composite key.

    Raises:
        NotFound: a view was never materialized.
        UsageError: the key lacks a column of a view's entity.

    Examples:
        thrive features get --key origin=JFK
        thrive features get weather plane --key origin=JFK --key tailnum=N14228
    """
    given = _key(key)
    with ctx.read() as tx:
        known = features.newest(tx, ctx.project_id)
    wanted = _about(known, views or [], given)
    typed = {
        part.name: _typed(part.name, part.dtype, given[part.name])
        for view in wanted
        for part in view.keys
    }
    lookup = Lookup(open_online(ctx.home.folder), [view.spec() for view in wanted])
    now = ctx.now()
    try:
        found = lookup.read([typed], now)
    finally:
        lookup.close()
    timed = {view.name for view in wanted if view.definition.event_time}
    ages = {
        name: format_duration(now - at)
        for name, (at,) in found.at.items()
        if at is not None and name in timed
    }
    hidden = _hidden(ctx, wanted)
    return FeatureValues(
        key=typed,
        values=_seen(ctx, {name: each[0] for name, each in found.values.items()}, hidden),
        status={name: states[0] for name, states in found.status.items()},
        age=ages,
        pseudonyms=sorted(hidden & found.values.keys()),
    )


def _hidden(ctx: Context, views: Sequence[FeatureView]) -> set[str]:
    """Return which columns of some views the reader may not see, and log that they read the rest.

    A column of a view is what its source calls so.
    """
    hidden: set[str] = set()
    terms = contract_here(ctx).data
    for view in views:
        names = [column.name for column in view.columns]
        for source in view.definition.sources:
            with ctx.read() as tx:
                try:
                    version = datasets.get_version(tx, ctx.project_id, source)
                except NotFound:  # it was erased, or lives in another project by now
                    continue
                declared = terms.get(source, DataTerms()).personal_kinds
                seen = view_of(tx, ctx, version, declared).only(names)
            log_read(ctx, version, seen, rows=1)
            hidden |= {*seen.hidden}
    return hidden


def _seen(ctx: Context, values: dict[str, Any], hidden: set[str]) -> dict[str, Any]:
    """Return values as their reader gets to see them."""
    if not hidden & values.keys():
        return values
    key = pseudonym_key(ctx.home, ctx.actor.name)
    return {
        name: pseudonym(str(value), key) if name in hidden and value is not None else value
        for name, value in values.items()
    }


def _planned(ctx: Context, view: View) -> PlanLine:
    sources = sources_of(ctx, view)
    rows = rows_of(ctx, view, sources)
    with ctx.read() as tx:
        versions = features.versions(tx, ctx.project_id, view.name)
        same = next((each for each in versions if each.digest == rows.digest), None)
        online = online_of(tx, ctx, same) if same else None
    change = "none" if same else "changed" if versions else "new"
    action = "nothing" if stands(online, sources, ctx.now()) else "materialize"
    return PlanLine(
        view=view.name,
        change=change,
        version=same.version if same else len(versions) + 1,
        sources=sources.labels,
        action=action,
    )


def _key(parts: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in parts:
        name, mark, value = part.partition("=")
        if not mark or not name:
            raise UsageError(f"{part!r} is no key.", "--key NAME=VALUE, e.g. --key origin=JFK")
        found[name] = value
    return found


def _about(
    known: Sequence[FeatureView], names: Sequence[str], given: dict[str, str]
) -> list[FeatureView]:
    """Return the views that were named, or those that a key can be given to."""
    by_name = {view.name: view for view in known}
    for name in names:
        if name not in by_name:
            raise NotFound(f"There is no feature view {name!r}.", "thrive features list")
        lacking = [part for part in by_name[name].definition.entity if part not in given]
        if lacking:
            raise UsageError(f"View {name!r} is about {lacking[0]!r}.", f"--key {lacking[0]}=VALUE")
    found = [by_name[name] for name in names] or [
        view for view in known if given.keys() >= set(view.definition.entity)
    ]
    if not known:
        raise NotFound("There is no feature view yet.", "thrive features materialize")
    if not found:
        shown = ", ".join(f"{view.name} ({', '.join(view.definition.entity)})" for view in known)
        raise NotFound(f"No view is about {', '.join(given)}.", f"there are {shown}")
    return found


def _typed(name: str, dtype: str, text: str) -> Any:
    if "Int" not in dtype:
        return text
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{name} is a whole number, not {text!r}.", f"--key {name}=1") from None
