"""Confirming what columns hold: a person says it once, and later versions know."""

from collections.abc import Mapping, Sequence

import msgspec

from thrive.data.profile import pack_sketches, unpack_sketches
from thrive.data.questions import NONE, open_questions, without_values
from thrive.data.reading import find_version
from thrive.data.wanted import terms_of
from thrive.domain.actor import STEWARDS
from thrive.domain.dataset import Column, ColumnLabel, DatasetVersion
from thrive.domain.errors import NotFound, UsageError
from thrive.operations import Context, operation
from thrive.store import column_labels, datasets, references
from thrive.store.database import Tx


class ConfirmedLabel(msgspec.Struct, frozen=True, kw_only=True):
    """One column with what it holds; `proposed` is what it seemed to hold."""

    column: str
    type: str
    personal: str
    proposed: str
    why: str


@operation("data confirm", role=STEWARDS, writes=True, next_hint="thrive check")
def confirm(
    ctx: Context, name: str, labels: list[str] | None = None, *, reason: str
) -> list[ConfirmedLabel]:
    """Say what columns hold: a kind of personal data, or none. Later versions know it by that.

    Without labels every open question is answered as proposed, and with `none` where nothing was
    proposed. Of a column that holds personal data no value stays in a profile.

    Args:
        name: the dataset, or one version of it as NAME@VERSION.
        labels: COLUMN=KIND, e.g. mail=email, phone=phone, note=none.
        reason: why that is so; part of the audit chain.

    Raises:
        NotFound: there is no such version or column.
        UsageError: no reason is given, or a label has another form.

    Examples:
        thrive data confirm trips --reason "looked at 100 rows"
        thrive data confirm trips rider=name note=none --reason "notes are codes"
    """
    if not reason.strip():
        raise UsageError("A label needs a reason.", '--reason "..."')
    version = find_version(ctx, name)
    said = _said(version, labels) if labels else _as_proposed(ctx, version)
    columns = {column.name: column for column in version.columns}
    now = ctx.now()
    with ctx.write(f"dataset:{version.dataset}", labels=said, reason=reason) as tx:
        for column, kind in said.items():
            label = ColumnLabel(
                dataset=version.dataset,
                name=column,
                dtype=columns[column].dtype,
                kind=kind,
                actor=ctx.actor.name,
                at=now,
                reason=reason,
            )
            column_labels.save_label(tx, ctx.project_id, label)
        unused = _apply(tx, ctx, version.dataset, said, columns)
    for digest in unused:
        ctx.home.blobs.delete(digest)
    return [
        ConfirmedLabel(
            column=column,
            type=columns[column].dtype,
            personal=kind,
            proposed=columns[column].proposed or "",
            why=columns[column].why,
        )
        for column, kind in said.items()
    ]


def _said(version: DatasetVersion, labels: Sequence[str]) -> dict[str, str]:
    known = {column.name for column in version.columns}
    said: dict[str, str] = {}
    for text in labels:
        column, mark, kind = text.rpartition("=")
        if not mark or not column or not kind.strip():
            raise UsageError(f"{text!r} is no label.", "write COLUMN=KIND, e.g. mail=email")
        if column not in known:
            label = f"{version.dataset}@{version.version}"
            raise NotFound(f"{label} has no column {column!r}.", f"thrive data show {label}")
        said[column] = kind.strip()
    return said


def _as_proposed(ctx: Context, version: DatasetVersion) -> dict[str, str]:
    with ctx.read() as tx:
        known = column_labels.find_labels(tx, ctx.project_id, version.dataset)
    declared = terms_of(ctx.folder, version.dataset).personal_kinds if ctx.folder else {}
    labels = {(label.name, label.dtype): label for label in known}
    asked = open_questions(version, declared, labels)
    return {column.name: column.proposed or NONE for column in asked}


def _apply(
    tx: Tx,
    ctx: Context,
    dataset: str,
    said: Mapping[str, str],
    columns: Mapping[str, Column],
) -> list[str]:
    """Write labels into every version that has such columns; return blobs nobody uses any more."""
    unused: list[str] = []
    for version in datasets.versions(tx, ctx.project_id, dataset):
        same = {
            each.name: said[each.name]
            for each in version.columns
            if each.name in said and each.dtype == columns[each.name].dtype
        }
        if not same:
            continue
        hidden = {name for name, kind in same.items() if kind != NONE}
        profile = dict(version.profile)
        old = str(profile.get("sketches", ""))
        if hidden:
            profile["columns"] = without_values(profile.get("columns", {}), hidden)
            profile["sketches"] = _without_sketches(ctx, old, hidden)
        label = f"{dataset}@{version.version}"
        if profile.get("sketches", "") != old:
            references.remove(tx, ctx.project_id, "profile", label, old)
            references.add(tx, ctx.project_id, "profile", label, str(profile["sketches"]))
            unused += [] if references.is_used(tx, old) else [old]
        renewed = [
            msgspec.structs.replace(each, personal=same.get(each.name, each.personal))
            for each in version.columns
        ]
        datasets.replace_version(
            tx,
            ctx.project_id,
            msgspec.structs.replace(version, columns=renewed, profile=profile),
        )
    return unused


def _without_sketches(ctx: Context, digest: str, hidden: set[str]) -> str:
    if not digest:
        return ""
    kept = unpack_sketches(ctx.home.blobs.get(digest))
    if not hidden & kept.keys():
        return digest
    left = {name: sketch for name, sketch in kept.items() if name not in hidden}
    return ctx.home.blobs.put(pack_sketches(left)) if left else ""
