"""What happens in the registry, told to the webhooks that asked: in the words of the protocol."""

from typing import Any

from thrive.domain.model import Model, ModelVersion
from thrive.domain.webhook import WebhookEvent
from thrive.store import webhooks
from thrive.store.database import Tx

PROMPT_TAG = "mlflow.prompt.is_prompt"
"""Marks prompts, which are models and versions to the store."""
_TEMPLATE_TAG = "mlflow.prompt.text"
_PROMPTS = {
    WebhookEvent.MODEL_CREATED: WebhookEvent.PROMPT_CREATED,
    WebhookEvent.VERSION_CREATED: WebhookEvent.PROMPT_VERSION_CREATED,
    WebhookEvent.TAG_SET: WebhookEvent.PROMPT_VERSION_TAG_SET,
    WebhookEvent.TAG_DELETED: WebhookEvent.PROMPT_VERSION_TAG_DELETED,
    WebhookEvent.ALIAS_CREATED: WebhookEvent.PROMPT_ALIAS_CREATED,
    WebhookEvent.ALIAS_DELETED: WebhookEvent.PROMPT_ALIAS_DELETED,
}


def is_prompt(noun: Model | ModelVersion) -> bool:
    """Tell whether a model or version is a prompt."""
    return (noun.tags or {}).get(PROMPT_TAG) == "true"


def tell_model(tx: Tx, project_id: str, model: Model) -> None:
    """Tell that a model was created."""
    data = {"name": model.name, "tags": model.tags or {}, "description": model.purpose or None}
    _tell(tx, project_id, WebhookEvent.MODEL_CREATED, data, prompt=is_prompt(model))


def tell_version(tx: Tx, project_id: str, version: ModelVersion) -> None:
    """Tell that a version was registered."""
    tags = dict(version.tags or {})
    data: dict[str, Any] = {
        "name": version.model,
        "version": str(version.version),
        "tags": tags,
        "description": version.note or None,
    }
    if is_prompt(version):
        data["template"] = tags.get(_TEMPLATE_TAG, "")
    else:
        data["source"] = version.source or f"thrive:/{version.model}/{version.version}"
        data["run_id"] = version.run_id or None
    _tell(tx, project_id, WebhookEvent.VERSION_CREATED, data, prompt=is_prompt(version))


def tell_version_tag(
    tx: Tx, project_id: str, version: ModelVersion, key: str, value: str | None
) -> None:
    """Tell that a version's tag was set, or deleted where `value` is None."""
    data = {"name": version.model, "version": str(version.version), "key": key}
    event = WebhookEvent.TAG_DELETED if value is None else WebhookEvent.TAG_SET
    more = {} if value is None else {"value": value}
    _tell(tx, project_id, event, data | more, prompt=is_prompt(version))


def tell_model_tag(tx: Tx, project_id: str, model: Model, key: str, value: str | None) -> None:
    """Tell that a prompt's tag was set, or deleted where `value` is None; models have no event."""
    if not is_prompt(model):
        return
    event = WebhookEvent.PROMPT_TAG_DELETED if value is None else WebhookEvent.PROMPT_TAG_SET
    more = {} if value is None else {"value": value}
    webhooks.tell(tx, project_id, event, {"name": model.name, "key": key} | more)


def tell_alias(tx: Tx, project_id: str, model: Model, alias: str, version: int | None) -> None:
    """Tell that an alias names a version now, or is gone where `version` is None."""
    event = WebhookEvent.ALIAS_DELETED if version is None else WebhookEvent.ALIAS_CREATED
    more = {} if version is None else {"version": str(version)}
    data = {"name": model.name, "alias": alias} | more
    _tell(tx, project_id, event, data, prompt=is_prompt(model))


def _tell(
    tx: Tx, project_id: str, event: WebhookEvent, data: dict[str, Any], *, prompt: bool
) -> None:
    webhooks.tell(tx, project_id, _PROMPTS[event] if prompt else event, data)
