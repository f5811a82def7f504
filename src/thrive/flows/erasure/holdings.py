"""What is held of one person beside rows and answers: features online, artifacts, texts."""

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from thrive.data.rewriting import PARQUET, is_table
from thrive.data.spreadsheet import without_formulas
from thrive.data.subjects import Searched, files_once
from thrive.domain.features import FeatureView
from thrive.domain.reference import format_reference
from thrive.flows.erasure.plan import PlannedItem, other_content
from thrive.flows.erasure.sought import Sought
from thrive.operations import Context
from thrive.store import features
from thrive.store.online import Lookup, open_online
from thrive.store.snapshots.matching import Person, names_person
from thrive.store.snapshots.tables import scan_files

if TYPE_CHECKING:
    import polars as pl

_ELSEWHERE = frozenset({"sealed_log", "profile"})
"""Kinds of content that are handed out as answers, or hold numbers over many people."""


class Part(NamedTuple):
    """What one stored content says of the person: a file's name and bytes, and its rows."""

    name: str
    subject: str
    content: bytes
    rows: int


class Held(NamedTuple):
    """Parts of stored content, and in words what names the person and cannot be read in part."""

    parts: list[Part]
    unread: list[str]


def held_content(ctx: Context, sought: Sought, answers: "pl.DataFrame | None") -> Held:
    """Return what artifacts, evaluation tables, logs and documents say of a person.

    Args:
        ctx: the project.
        sought: the person.
        answers: about the person, as of `prediction_ids`.
    """
    found = Held(parts=[], unread=[])
    for item in other_content(ctx, sought, answers):
        if item.kind in _ELSEWHERE:
            continue
        part = _part(item, ctx.home.blobs.get(item.digest), sought)
        if part is None:
            found.unread.append(f"{item.kind.replace('_', ' ')} {item.used_by}: {item.digest}")
        else:
            found.parts.append(part)
    return found


def _part(item: PlannedItem, data: bytes, sought: Sought) -> Part | None:
    subject = f"{item.kind.replace('_', ' ')} {item.used_by}"
    name = f"{item.kind}-{item.digest[:12]}"
    if is_table(data):
        rows = _rows_naming(data, sought)
        return Part(f"{name}.csv", subject, as_csv(rows), rows.height)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    lines = [line for line in text.splitlines() if sought.in_raw(line.encode())]
    content = "".join(f"{line}\n" for line in lines).encode()
    return Part(f"{name}.txt", subject, content, len(lines)) if lines else None


def _rows_naming(data: bytes, sought: Sought) -> "pl.DataFrame":
    import polars as pl

    source = io.BytesIO(data)
    frame = pl.read_parquet(source) if data[:4] == PARQUET else pl.read_ipc(source)
    return frame.filter(sought.rows_naming(frame))


def features_of(
    ctx: Context, searched: Sequence[Searched], person: Person
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each view that is online with what serving reads of it for the person's keys.

    A key is taken from the person's rows in the newest version of a source of the view that has all
    of its key columns.

    Args:
        ctx: the project.
        searched: every version of every dataset, oldest first.
        person: as tables may spell them.
    """
    newest = {each.version.dataset: each for each in searched if each.columns}
    for view in _online(ctx):
        keys = _keys(ctx, view, [newest[n] for n in view.definition.sources if n in newest], person)
        if not keys:
            continue
        lookup = Lookup(open_online(ctx.home.folder), [view.spec()])
        try:
            read = lookup.read(keys, ctx.now())
        finally:
            lookup.close()
        rows = [
            {**key, **{name: values[place] for name, values in read.values.items()}}
            for place, key in enumerate(keys)
            if read.at[view.name][place] is not None
        ]
        if rows:
            yield format_reference(view.name, view.version), rows


def _online(ctx: Context) -> list[FeatureView]:
    store = open_online(ctx.home.folder)
    try:
        with ctx.read() as tx:
            return [
                view
                for each in features.newest(tx, ctx.project_id)
                for view in features.versions(tx, ctx.project_id, each.name)
                if features.find_materialization(tx, ctx.project_id, view.name, view.digest)
                and store.holds(view.digest)
            ]
    finally:
        store.close()


def _keys(
    ctx: Context, view: FeatureView, sources: Sequence[Searched], person: Person
) -> list[dict[str, Any]]:
    """Return the keys of a view that the rows of a person have."""
    import polars as pl

    names = [key.name for key in view.keys]
    for source in sources:
        found: list[pl.DataFrame] = []
        for _, entry, path in files_once(ctx.home.blobs, [source]):
            scan = scan_files([entry], [path], source.version.columns)
            schema = scan.collect_schema()
            matches = names_person(schema, source.columns, person)
            if matches is not None and schema.keys() >= set(names):
                found.append(scan.filter(matches).select(names).unique().collect())
        if found:
            return pl.concat(found).unique(maintain_order=True).to_dicts()
    return []


def as_csv(frame: "pl.DataFrame") -> bytes:
    """Return a table as CSV that no spreadsheet runs; what is nested is spelled as text."""
    import polars as pl

    nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
    spelled = {
        name: pl.Series([None if row is None else str(row) for row in frame[name].to_list()])
        for name in nested
    }
    flat = frame.with_columns(**spelled)
    return without_formulas(flat.lazy()).collect().write_csv().encode()
