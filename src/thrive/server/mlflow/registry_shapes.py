"""Registered models and their versions in the shapes that MLflow's clients read."""

from collections.abc import Sequence
from typing import Any

import msgspec

from thrive.domain.model import Model, ModelVersion, Stage
from thrive.domain.release import RoutingTable
from thrive.registry.stages import CHAMPION, champion, stage_of
from thrive.server.mlflow.problems import invalid
from thrive.server.mlflow.shapes import MILLISECOND, pairs
from thrive.store import models, releases
from thrive.store.database import Tx

STAGE_TAG = "thrive.stage"
"""Holds the stage of a version without a package: a label, as it can have no traffic."""
STAGES = {
    Stage.DEV: "None",
    Stage.STAGING: "Staging",
    Stage.PRODUCTION: "Production",
    Stage.RETIRED: "Archived",
}


class Registered(msgspec.Struct, frozen=True):
    """A registered model with its versions and its routing tables, both newest first."""

    model: Model
    versions: Sequence[ModelVersion]
    history: Sequence[RoutingTable]

    def aliases(self) -> dict[str, int]:
        """Return the aliases; `champion` of a model with traffic is what serves."""
        live = champion(self.history)
        return {**(self.model.aliases or {}), **({CHAMPION: live} if live else {})}

    def find(self, number: int) -> ModelVersion | None:
        """Return a version, or None."""
        return next((one for one in self.versions if one.version == number), None)


def read_registered(tx: Tx, project_id: str, name: str) -> Registered:
    """Return a registered model with all that its shapes need.

    Raises:
        NotFound: there is none of that name.
    """
    model = models.get(tx, project_id, name)
    return with_versions(tx, project_id, model)


def with_versions(tx: Tx, project_id: str, model: Model) -> Registered:
    """Return a model with its versions and routing tables."""
    return Registered(
        model,
        models.versions(tx, project_id, model.name),
        releases.routing_history(tx, project_id, model.name),
    )


def stage_name(version: ModelVersion, history: Sequence[RoutingTable]) -> str:
    """Return the stage of a version in the protocol's words."""
    label = (version.tags or {}).get(STAGE_TAG)
    return label if label and not version.package else STAGES[stage_of(version, history)]


def checked_stage(text: str) -> str:
    """Return a stage as the protocol spells it.

    Raises:
        MlflowError: there is no such stage.
    """
    known = {name.lower(): name for name in STAGES.values()}
    if text.lower() not in known:
        raise invalid(
            f"Invalid Model Version stage: {text}. Value must be one of None, Staging, "
            "Production, Archived."
        )
    return known[text.lower()]


def version_shape(registered: Registered, version: ModelVersion) -> dict[str, Any]:
    """Return a version of a registered model."""
    tags = {key: value for key, value in (version.tags or {}).items() if key != STAGE_TAG}
    aliases = [name for name, number in registered.aliases().items() if number == version.version]
    shape: dict[str, Any] = {
        "name": version.model,
        "version": str(version.version),
        "creation_timestamp": version.created_at // MILLISECOND,
        "last_updated_timestamp": (version.updated_at or version.created_at) // MILLISECOND,
        "current_stage": stage_name(version, registered.history),
        "description": version.note,
        "user_id": version.actor,
        "source": version.source or f"thrive:/{version.model}/{version.version}",
        "run_id": version.run_id,
        "status": "READY",
        "tags": pairs(tags),
        "aliases": aliases,
    }
    if version.logged_model:
        shape["model_id"] = version.logged_model
    return shape


def model_shape(registered: Registered) -> dict[str, Any]:
    """Return a registered model with the newest version of each stage."""
    model = registered.model
    return {
        "name": model.name,
        "creation_timestamp": model.created_at // MILLISECOND,
        "last_updated_timestamp": (model.updated_at or model.created_at) // MILLISECOND,
        "description": model.purpose,
        "user_id": model.owner,
        "latest_versions": [
            version_shape(registered, version) for version in latest_versions(registered)
        ],
        "tags": pairs(model.tags or {}),
        "aliases": [
            {"alias": name, "version": str(number)}
            for name, number in sorted(registered.aliases().items())
        ],
    }


def latest_versions(registered: Registered, stages: Sequence[str] = ()) -> list[ModelVersion]:
    """Return the newest version of each stage, or of some."""
    found: dict[str, ModelVersion] = {}
    for version in registered.versions:
        found.setdefault(stage_name(version, registered.history), version)
    return [one for stage, one in found.items() if not stages or stage in stages]
