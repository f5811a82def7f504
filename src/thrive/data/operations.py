"""The operations that tell of datasets and their versions, and decide on them."""

from collections.abc import Callable
from typing import Any

import msgspec

from thrive.contract.declared import declared_data
from thrive.data.checks import FAIL, PASS
from thrive.data.lineage import counted
from thrive.data.questions import as_declared, is_trainable
from thrive.data.reading import find_version
from thrive.data.storing import CheckedOut, add, add_rows, checkout, commit
from thrive.domain.actor import ANYONE, STEWARDS
from thrive.domain.dataset import PERSON, DatasetVersion
from thrive.domain.errors import UsageError
from thrive.operations import Context, operation
from thrive.store import datasets

__all__ = [
    "CheckedOut",
    "ColumnView",
    "DatasetLine",
    "VersionLine",
    "VersionView",
    "add",
    "add_rows",
    "checkout",
    "commit",
    "decide",
    "list_datasets",
    "log",
    "view",
]


class DatasetLine(msgspec.Struct, frozen=True, kw_only=True):
    """One dataset with its newest version."""

    name: str
    versions: int
    rows: int
    size: int
    trainable: bool
    owner: str
    why: str
    changed_at: int


class VersionLine(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a dataset."""

    version: int
    digest: str
    rows: int
    size: int
    trainable: bool
    source: str
    actor: str
    created_at: int
    made_by: str
    tags: list[str] = []


class ColumnView(msgspec.Struct, frozen=True, kw_only=True):
    """One column with its label and its profile.

    `personal` is the kind a person said, `proposed` the one it seems to hold; `asked` says that
    somebody must still say it.
    """

    name: str
    type: str
    personal: str
    proposed: str
    asked: bool
    missing: int
    distinct: int | None
    min: Any
    max: Any
    mean: float | None
    std: float | None
    quantiles: dict[str, float | None]
    top: list[Any]


class VersionView(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a dataset, with all that is known of it.

    `trainable` is what its checks and people said, and that they said it of all columns;
    `problems` is what the contract still has against training on it, each with what mends it.
    """

    dataset: str
    version: int
    digest: str
    owner: str
    why: str
    source: str
    rows: int
    files: int
    size: int
    trainable: bool
    created_at: int
    actor: str
    made_by: str
    read_by_runs: int
    trained: list[str]
    columns: list[ColumnView]
    checks: list[dict[str, Any]]
    manifest: str = ""
    problems: list[str] = []

    @property
    def next_hint(self) -> str:
        """What to type next; of a version that a check holds back, how to let it be used."""
        label = f"{self.dataset}@{self.version}"
        if not self.trainable and any(each["state"] == FAIL for each in self.checks):
            decision = f'thrive data decide {label} --trainable --reason "..."'
            return f"mend the source and add it again, or: {decision}"
        return f"thrive data lineage {label}"


@operation("data list", role=ANYONE, next_hint="thrive data log {name}")
def list_datasets(ctx: Context) -> list[DatasetLine]:
    """List all datasets with their newest version.

    Examples:
        thrive data list
    """
    lines: list[DatasetLine] = []
    declared = _declared(ctx)
    with ctx.read() as tx:
        for dataset in datasets.find(tx, ctx.project_id):
            versions = datasets.versions(tx, ctx.project_id, dataset.name)
            newest = versions[0] if versions else None
            lines.append(
                DatasetLine(
                    name=dataset.name,
                    versions=len(versions),
                    rows=newest.rows if newest else 0,
                    size=newest.size if newest else 0,
                    trainable=newest is not None and is_trainable(newest, declared(dataset.name)),
                    owner=dataset.owner,
                    why=dataset.why,
                    changed_at=newest.created_at if newest else dataset.created_at,
                )
            )
    return lines


@operation(
    "data log",
    role=ANYONE,
    columns=("version", "digest", "rows", "size", "trainable", "source", "actor", "created_at"),
)
def log(ctx: Context, name: str) -> list[VersionLine]:
    """List the versions of a dataset, newest first.

    Args:
        name: the dataset.

    Raises:
        NotFound: there is none of that name.

    Examples:
        thrive data log flights
    """
    with ctx.read() as tx:
        datasets.get(tx, ctx.project_id, name)
        versions = datasets.versions(tx, ctx.project_id, name)
        tags = datasets.find_tags(tx, ctx.project_id, name)
    declared = _declared(ctx)(name)
    return [
        VersionLine(
            version=each.version,
            digest=each.digest,
            rows=each.rows,
            size=each.size,
            trainable=is_trainable(each, declared),
            source=each.source,
            actor=each.actor,
            created_at=each.created_at,
            made_by=each.made_by or "",
            tags=[tag.tag for tag in tags if tag.version == each.version],
        )
        for each in versions
    ]


def _declared(ctx: Context) -> Callable[[str], dict[str, str]]:
    """Return what gives the columns of a dataset with what the contract says that they hold."""
    data = declared_data(ctx.folder) if ctx.folder is not None else {}

    def columns(dataset: str) -> dict[str, str]:
        terms = data.get(dataset)
        if not isinstance(terms, dict):
            return {}
        named, subject = terms.get("personal"), terms.get("subject")
        said = {str(subject): PERSON} if subject else {}
        return said | (named if isinstance(named, dict) else {})

    return columns


def view(ctx: Context, name: str) -> VersionView:
    """Return all that is known of one version; `name` as NAME or NAME@VERSION.

    Raises:
        NotFound: there is no such version.
    """
    stored = find_version(ctx, name)
    declared = _declared(ctx)(stored.dataset)
    version = as_declared(stored, declared)
    with ctx.read() as tx:
        dataset = datasets.get(tx, ctx.project_id, version.dataset)
        use = counted(tx, ctx, version)
    return VersionView(
        dataset=version.dataset,
        version=version.version,
        digest=version.digest,
        owner=dataset.owner,
        why=dataset.why,
        source=version.source,
        rows=version.rows,
        files=version.file_count,
        size=version.size,
        trainable=is_trainable(version, declared),
        created_at=version.created_at,
        actor=version.actor,
        made_by=version.made_by or "",
        read_by_runs=use.runs,
        trained=use.models,
        columns=_column_views(version),
        checks=version.checks,
        manifest=version.listed_in,
    )


def _column_views(version: DatasetVersion) -> list[ColumnView]:
    profile: dict[str, Any] = version.profile.get("columns", {})
    views: list[ColumnView] = []
    for column in version.columns:
        found = profile.get(column.name, {})
        views.append(
            ColumnView(
                name=column.name,
                type=column.dtype,
                personal=column.personal or "",
                proposed=column.proposed or "",
                asked=column.asked and column.personal is None,
                missing=found.get("missing", 0),
                distinct=found.get("distinct"),
                min=found.get("min"),
                max=found.get("max"),
                mean=found.get("mean"),
                std=found.get("std"),
                quantiles=found.get("quantiles", {}),
                top=found.get("top", []),
            )
        )
    return views


@operation(
    "data decide", role=STEWARDS, writes=True, next_hint="thrive data show {dataset}@{version}"
)
def decide(ctx: Context, name: str, *, trainable: bool, reason: str) -> VersionView:
    """Decide whether a version may be trained on, whatever its checks said.

    Args:
        name: one version, as NAME@VERSION.
        trainable: whether it may.
        reason: why; part of the audit chain.

    Raises:
        NotFound: there is no such version.
        UsageError: no reason is given.

    Examples:
        thrive data decide flights@3 --trainable --reason "late files, complete by now"
    """
    if not reason.strip():
        raise UsageError("A decision needs a reason.", '--reason "..."')
    version = find_version(ctx, name)
    label = f"{version.dataset}@{version.version}"
    decision = {
        "check": "decision",
        "state": PASS if trainable else FAIL,
        "found": reason,
        "by": ctx.actor.name,
        "at": ctx.now(),
    }
    with ctx.write(f"dataset:{label}", trainable=trainable, reason=reason) as tx:
        present = datasets.get_version(tx, ctx.project_id, version.dataset, version.version)
        changed = msgspec.structs.replace(
            present, trainable=trainable, checks=[*present.checks, decision]
        )
        datasets.replace_version(tx, ctx.project_id, changed)
    return view(ctx, label)
