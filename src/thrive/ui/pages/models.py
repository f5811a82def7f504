"""The list of models."""

import msgspec

from thrive.flows.facts import ModelFacts
from thrive.flows.fleet import every_model
from thrive.flows.health import Health, assess, worst
from thrive.operations import Context


class ModelLine(msgspec.Struct, frozen=True, kw_only=True):
    """One model in the list; without a version in production it has no health."""

    name: str
    owner: str
    purpose: str
    health: Health | None
    production: int | None
    newest: int | None
    versions: int


class ModelsPage(msgspec.Struct, frozen=True, kw_only=True):
    """All models, by name."""

    now: int
    models: list[ModelLine]


def load(ctx: Context) -> ModelsPage:
    """Return all models with their health."""
    return ModelsPage(now=ctx.now(), models=[_line(facts) for facts in every_model(ctx)])


def _line(facts: ModelFacts) -> ModelLine:
    decisive = worst(assess(facts)) if facts.production is not None else None
    return ModelLine(
        name=facts.model.name,
        owner=facts.model.owner,
        purpose=facts.model.purpose,
        health=decisive.health if decisive is not None else None,
        production=facts.production.version if facts.production is not None else None,
        newest=facts.versions[0].version if facts.versions else None,
        versions=facts.version_count,
    )
