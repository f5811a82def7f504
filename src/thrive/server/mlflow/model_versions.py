"""Routes of model versions: registered by a client, numbered, tagged, and sent on their way."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from thrive.domain.actor import ANYONE, BUILDERS
from thrive.domain.clock import ClockMode
from thrive.domain.errors import Refused
from thrive.domain.model import ModelVersion
from thrive.registry import telling
from thrive.registry.removal import delete_version, refuse_guarded
from thrive.registry.telling import PROMPT_TAG
from thrive.registry.versions import retire
from thrive.server.mlflow import pages
from thrive.server.mlflow.calls import Call, Route
from thrive.server.mlflow.logged_keys import LONGEST_KEY
from thrive.server.mlflow.problems import invalid
from thrive.server.mlflow.registered_models import (
    LONGEST_MODEL_TAG,
    found_model,
    found_name,
    found_version,
    is_no_prompt,
    model_name,
    release,
    version_number,
)
from thrive.server.mlflow.registry_shapes import (
    STAGE_TAG,
    Registered,
    checked_stage,
    stage_name,
    version_shape,
    with_versions,
)
from thrive.server.mlflow.runs import checked_run_id
from thrive.server.mlflow.shapes import MILLISECOND, logged_model_uri
from thrive.store import logged_models, models, runs
from thrive.store.database import Tx
from thrive.tracking.filters import Fields, Kind, parse_filter, parse_order

LONGEST_SOURCE = 1000
_LOGGED = "models:/m-"
_FIELDS = Fields(
    attributes={
        "name": "text",
        "run_id": "text",
        "source_path": "text",
        "version_number": "number",
        "creation_timestamp": "number",
        "last_updated_timestamp": "number",
    },
    kinds=frozenset({Kind.TAG}),
    aliases={"version": "version_number"},
)


def _create(call: Call) -> dict[str, Any]:
    given, ctx = call.given, call.ctx
    name, source = model_name(given), _source(given.text("source", most=LONGEST_SOURCE))
    run_id, model_id = given.maybe_text("run_id"), given.maybe_text("model_id")
    clock = ctx.home.clock()
    now = clock.now()
    with ctx.write(f"model:{name}", source=source, run=run_id) as tx:
        model = found_name(tx, ctx.project_id, name)
        if model_id or source.startswith(_LOGGED):
            model_id = model_id or source.removeprefix("models:/").partition("/")[0]
            run_id = run_id or logged_models.get(tx, ctx.project_id, model_id).run_id
        version = ModelVersion(
            model=name,
            version=models.next_version(tx, ctx.project_id, name),
            package="",
            signature={},
            metrics=_metrics(tx, ctx.project_id, run_id),
            run_id=run_id,
            contract="",
            commit="",
            dirty=True,
            created_at=now,
            updated_at=now,
            actor=ctx.actor.name,
            note=given.maybe_text("description"),
            replay=clock.mode is ClockMode.REPLAY,
            source=source,
            logged_model=model_id,
            tags=given.pairs("tags", key=LONGEST_KEY, value=LONGEST_MODEL_TAG) or None,
        )
        models.insert_version(tx, ctx.project_id, version, [])
        noted = msgspec.structs.replace(model, last_version=version.version, updated_at=now)
        models.save(tx, ctx.project_id, noted)
        telling.tell_version(tx, ctx.project_id, version)
    return {"model_version": version_shape(Registered(noted, (), ()), version)}


def _source(source: str) -> str:
    """Return where the files of a version are; it is kept as a word, and never opened here.

    Raises:
        MlflowError: it names a file of the server.
    """
    if source.lower().startswith(("/", "file:")) or ".." in source.split("/"):
        raise invalid(
            f"Invalid model version source: '{source[:200]}'. It must be the address of a logged "
            "model, of a run's artifact, or of an object store."
        )
    return source


def _metrics(tx: Tx, project_id: str, run_id: str) -> dict[str, float | None]:
    """Return the metrics of the run that a version is of."""
    if not run_id:
        return {}
    return runs.metrics_of(tx, project_id, checked_run_id(run_id))


def _both(call: Call) -> tuple[Registered, ModelVersion]:
    """Return the model and the version that a request is about."""
    number = version_number(call.given)
    with call.ctx.read() as tx:
        found = found_model(tx, call.ctx.project_id, model_name(call.given))
    return found, found_version(found, number)


def _get(call: Call) -> dict[str, Any]:
    return {"model_version": version_shape(*_both(call))}


def _uri(call: Call) -> dict[str, Any]:
    _, version = _both(call)
    if not version.logged_model:
        return {"artifact_uri": version.source}
    with call.ctx.read() as tx:
        project = call.ctx.project_id
        model = logged_models.get(tx, project, version.logged_model, deleted=True)
    return {"artifact_uri": logged_model_uri(model)}


def _search(call: Call) -> dict[str, Any]:
    given, project_id = call.given, call.ctx.project_id
    every = parse_filter(given.maybe_text("filter"), _FIELDS)
    conditions = [each for each in every if not is_no_prompt(each)]
    orders = parse_order(given.texts("order_by"), _FIELDS)
    limit = given.count("max_results", 10_000, 200_000)
    name = next((str(c.value) for c in every if (c.key, c.operator) == ("name", "=")), None)
    with call.ctx.read() as tx:
        known = models.every_version(tx, project_id, name)
        if len(conditions) < len(every):
            known = [one for one in known if (one.tags or {}).get(PROMPT_TAG) != "true"]
        chosen = pages.ordered(pages.filtered(known, conditions, _value), orders, _value)
        found, after = pages.page(
            chosen, limit, given.maybe_text("page_token"), lambda one: f"{one.model}@{one.version}"
        )
        registered = {
            name: with_versions(tx, project_id, models.get(tx, project_id, name))
            for name in dict.fromkeys(one.model for one in found)
        }
    shapes = [version_shape(registered[one.model], one) for one in found]
    return pages.answer("model_versions", shapes, after)


def _value(version: ModelVersion, kind: Kind, key: str) -> pages.Value:
    if kind is Kind.TAG:
        return (version.tags or {}).get(key)
    updated = version.updated_at or version.created_at
    return {
        "name": version.model,
        "run_id": version.run_id,
        "source_path": version.source,
        "version_number": version.version,
        "creation_timestamp": version.created_at // MILLISECOND,
        "last_updated_timestamp": updated // MILLISECOND,
    }[key]


Change = Callable[[ModelVersion], ModelVersion]


def _change(
    call: Call, what: str, change: Change, tags: Sequence[tuple[str, str | None]] = ()
) -> dict[str, Any]:
    ctx, name = call.ctx, model_name(call.given)
    number = version_number(call.given)
    with ctx.write(f"model:{name}", version=number, what=what) as tx:
        found = found_model(tx, ctx.project_id, name)
        changed = change(found_version(found, number))
        after = msgspec.structs.replace(changed, updated_at=ctx.now())
        models.replace_version(tx, ctx.project_id, after)
        for key, value in tags:
            telling.tell_version_tag(tx, ctx.project_id, after, key, value)
    return {"model_version": version_shape(found, after)}


def _update(call: Call) -> dict[str, Any]:
    words = call.given.maybe_text("description")
    return _change(call, "described", lambda one: msgspec.structs.replace(one, note=words))


def _delete(call: Call) -> dict[str, Any]:
    ctx, name = call.ctx, model_name(call.given)
    number = version_number(call.given)
    with ctx.read() as tx:
        packaged = found_version(found_model(tx, ctx.project_id, name), number).package
    if packaged:
        delete_version(ctx, name, number, "deleted by a client")
        return {}
    with ctx.write(f"model:{name}", version=number, deleted=True) as tx:
        found = found_model(tx, ctx.project_id, name)
        version = found_version(found, number)
        refuse_guarded(found.model, number)
        models.delete_version(tx, ctx.project_id, version)
        kept = {key: at for key, at in (found.model.aliases or {}).items() if at != number}
        models.save(
            tx,
            ctx.project_id,
            msgspec.structs.replace(found.model, aliases=kept or None, updated_at=ctx.now()),
        )
    return {}


def _set_tag(call: Call) -> dict[str, Any]:
    key = call.given.text("key", most=LONGEST_KEY)
    value = call.given.maybe_text("value", most=LONGEST_MODEL_TAG)
    _retag(call, {key: value}, "")
    return {}


def _delete_tag(call: Call) -> dict[str, Any]:
    _retag(call, {}, call.given.text("key"))
    return {}


def _retag(call: Call, added: dict[str, str], removed: str) -> None:
    if STAGE_TAG in {*added, removed}:
        raise invalid(f"The tag '{STAGE_TAG}' is moved by transition-stage alone.")

    def tagged(version: ModelVersion) -> ModelVersion:
        kept = {key: text for key, text in (version.tags or {}).items() if key != removed}
        return msgspec.structs.replace(version, tags={**kept, **added} or None)

    changed = [*added.items(), *([(removed, None)] if removed else [])]
    _change(call, "tagged", tagged, changed)


def _transition(call: Call) -> dict[str, Any]:
    """Move a version to a stage: of one that Thrive packaged, by moving its traffic."""
    stage = checked_stage(call.given.text("stage"))
    found, version = _both(call)
    if not version.package:
        return _label(call, version, stage)
    if stage == "Production":
        release(call, version.model, version.version, found)
    elif stage == "Archived":
        retire(call.ctx, version.model, version.version, "archived by a client")
    elif stage != stage_name(version, found.history):
        raise Refused(
            f"The stage of {version.model}@{version.version} follows its traffic.",
            f"thrive releases start {version.model}@{version.version}",
        )
    return _get(call)


def _label(call: Call, version: ModelVersion, stage: str) -> dict[str, Any]:
    """Write the stage of a version that no traffic can reach, as a label."""
    ctx, now, archive = call.ctx, call.ctx.now(), call.given.truth("archive_existing_versions")
    with ctx.write(f"model:{version.model}", version=version.version, stage=stage) as tx:
        found = found_model(tx, ctx.project_id, version.model)
        before = _of_stage(found, stage) if archive else []
        chosen = found_version(found, version.version)
        others = [(one, "Archived") for one in before if one.version != chosen.version]
        for one, label in [(chosen, stage), *others]:
            tags = {**(one.tags or {}), STAGE_TAG: label}
            after = msgspec.structs.replace(one, tags=tags, updated_at=now)
            models.replace_version(tx, ctx.project_id, after)
    return _get(call)


def _of_stage(found: Registered, stage: str) -> list[ModelVersion]:
    """Return the versions without traffic of a stage."""
    return [
        one for one in found.versions if not one.package and stage_name(one, found.history) == stage
    ]


ROUTES = (
    Route("POST", "model-versions/create", BUILDERS, _create),
    Route("GET", "model-versions/get", ANYONE, _get),
    Route("GET", "model-versions/search", ANYONE, _search),
    Route("PATCH", "model-versions/update", BUILDERS, _update),
    Route("DELETE", "model-versions/delete", BUILDERS, _delete),
    Route("POST", "model-versions/set-tag", BUILDERS, _set_tag),
    Route("DELETE", "model-versions/delete-tag", BUILDERS, _delete_tag),
    Route("GET", "model-versions/get-download-uri", ANYONE, _uri),
    Route("POST", "model-versions/transition-stage", BUILDERS, _transition),
)
