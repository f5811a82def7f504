"""What people and programs ask of models."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from thrive.domain.actor import ANYONE, RELEASERS
from thrive.domain.errors import UsageError
from thrive.domain.model import Model, ModelVersion, Stage
from thrive.domain.reference import format_reference, parse_reference
from thrive.domain.release import RoutingTable
from thrive.domain.run import Use
from thrive.operations import Context, operation
from thrive.registry import versions
from thrive.registry.stages import champion, stage_of
from thrive.store import erasures, models, releases, runs


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """One model in a list."""

    name: str
    owner: str
    newest: int | None
    production: int | None
    versions: int
    purpose: str


class VersionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a model, in short."""

    version: int
    stage: Stage
    metrics: dict[str, float | None]
    run_id: str
    created_at: int
    actor: str
    note: str


class ErasedRow(msgspec.Struct, frozen=True, kw_only=True):
    """Data a version was trained on, of which rows were erased since."""

    data: str
    erased_at: int
    reason: str


class VersionDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One version with its stage, its lineage, its sisters in short, and what was erased since."""

    model: Model
    version: ModelVersion
    stage: Stage
    production: int | None
    uses: list[Use]
    versions: list[VersionRow]
    erased: list[ErasedRow] = []


class HistoryRow(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to a model."""

    at: int
    what: str
    actor: str
    detail: dict[str, Any] = {}


@operation("models list", role=ANYONE, next_hint="thrive models show {name}")
def list_models(ctx: Context) -> list[ModelRow]:
    """List the models with their newest version and the one in production.

    Args:
        ctx: the context of the call.

    Examples:
        thrive models list
    """
    project = ctx.project_id
    with ctx.read() as tx:
        known = models.find(tx, project)
        numbers = models.numbers(tx, project)
        live = releases.routing_at(tx, project, list(releases.revisions(tx, project).items()))
    return [_model_row(model, numbers.get(model.name), live.get(model.name)) for model in known]


def _model_row(
    model: Model, numbers: tuple[int, int] | None, live: RoutingTable | None
) -> ModelRow:
    count, newest = numbers or (0, None)
    return ModelRow(
        name=model.name,
        owner=model.owner,
        newest=newest,
        production=champion([live] if live else []),
        versions=count,
        purpose=model.purpose,
    )


@operation(
    "models show", role=ANYONE, next_hint="thrive gates run {version.model}@{version.version}"
)
def show_model(ctx: Context, model: str) -> VersionDetail:
    """Show a version of a model: what it answers, where it came from, where it stands.

    Args:
        ctx: the context of the call.
        model: MODEL for the newest version, or MODEL@VERSION.

    Examples:
        thrive models show flight-delay
        thrive models show flight-delay@1
    """
    name, number = parse_reference(model)
    with ctx.read() as tx:
        version = models.get_version(tx, ctx.project_id, name, number)
        history = releases.routing_history(tx, ctx.project_id, name)
        return VersionDetail(
            model=models.get(tx, ctx.project_id, name),
            version=version,
            stage=stage_of(version, history),
            production=champion(history),
            uses=runs.find_uses(tx, ctx.project_id, version.run_id),
            versions=[
                _row(one, history)
                for one in models.versions(tx, ctx.project_id, name, limit=models.MOST_SHOWN)
            ],
            erased=[
                ErasedRow(data=stone.subject, erased_at=stone.erased_at, reason=stone.reason)
                for stone in erasures.find_tombstones(
                    tx, ctx.project_id, list(version.training.values())
                )
            ],
        )


@operation("models history", role=ANYONE)
def show_history(ctx: Context, model: str, *, at: str = "") -> list[HistoryRow]:
    """Show what happened to a model: registrations, moves of its traffic, retirements.

    Of a model with very many versions, those of the newest hundred are shown.

    Args:
        ctx: the context of the call.
        model: the model's name.
        at: a moment, e.g. 2026-05-01 or 2026-05-01T12:00 (UTC): only the traffic that was in
            force then, with who moved it and why.

    Raises:
        UsageError: `at` is no moment.

    Examples:
        thrive models history flight-delay
        thrive models history flight-delay --at 2026-05-01
    """
    name, _ = parse_reference(model)
    with ctx.read() as tx:
        models.get(tx, ctx.project_id, name)
        known = models.versions(tx, ctx.project_id, name, limit=models.MOST_SHOWN)
        history = releases.routing_history(tx, ctx.project_id, name)
    if at:
        moment = _moment(at)
        return [_moved(table) for table in history if table.at <= moment][:1]
    rows = [_registered(version) for version in known]
    rows += [_retired(version) for version in known if version.retired_at is not None]
    rows += [_moved(table) for table in history]
    return sorted(rows, key=lambda row: row.at, reverse=True)


@operation("models retire", role=RELEASERS, writes=True, next_hint="thrive models list")
def retire_model(ctx: Context, model: str, *, reason: str = "") -> ModelVersion:
    """Retire a version: it can be read, and no longer be released.

    Args:
        ctx: the context of the call.
        model: MODEL@VERSION.
        reason: why, in a few words.

    Examples:
        thrive models retire flight-delay@1 --reason "version 2 replaced it"
    """
    name, number = parse_reference(model)
    if number is None:
        raise UsageError(f"{model!r} names no version.", f"thrive models retire {model}@1")
    return versions.retire(ctx, name, number, reason)


def _moment(text: str) -> int:
    """Return a moment in UTC microseconds; a day alone is its end."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text[:40]!r} is no moment.", "give one as 2026-05-01") from None
    if len(text) == len("2026-05-01"):
        found += timedelta(days=1, microseconds=-1)
    aware = found if found.tzinfo else found.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1_000_000)


def _row(version: ModelVersion, history: list[RoutingTable]) -> VersionRow:
    return VersionRow(
        version=version.version,
        stage=stage_of(version, history),
        metrics=version.metrics,
        run_id=version.run_id,
        created_at=version.created_at,
        actor=version.actor,
        note=version.note,
    )


def _registered(version: ModelVersion) -> HistoryRow:
    detail = {"run": version.run_id, "dirty": version.dirty, "metrics": version.metrics}
    what = f"{format_reference(version.model, version.version)} registered"
    return HistoryRow(at=version.created_at, what=what, actor=version.actor, detail=detail)


def _retired(version: ModelVersion) -> HistoryRow:
    what = f"{format_reference(version.model, version.version)} retired"
    detail = {"reason": version.note}
    return HistoryRow(at=version.retired_at or 0, what=what, actor="", detail=detail)


def _moved(table: RoutingTable) -> HistoryRow:
    shares = [
        f"@{variant.version} {'shadow' if variant.shadow else f'{variant.share:.0%}'}"
        for variant in table.variants
    ]
    what = f"traffic: {', '.join(shares) or 'none'}"
    detail = {"reason": table.reason, "revision": table.revision}
    return HistoryRow(at=table.at, what=what, actor=table.actor, detail=detail)
