"""Webhooks: which events of the registry are told to which address."""

from enum import StrEnum

import msgspec


class WebhookEvent(StrEnum):
    """What happened, as `noun.verb`: the events of the MLflow protocol."""

    MODEL_CREATED = "registered_model.created"
    VERSION_CREATED = "model_version.created"
    TAG_SET = "model_version_tag.set"
    TAG_DELETED = "model_version_tag.deleted"
    ALIAS_CREATED = "model_version_alias.created"
    ALIAS_DELETED = "model_version_alias.deleted"
    PROMPT_CREATED = "prompt.created"
    PROMPT_VERSION_CREATED = "prompt_version.created"
    PROMPT_TAG_SET = "prompt_tag.set"
    PROMPT_TAG_DELETED = "prompt_tag.deleted"
    PROMPT_VERSION_TAG_SET = "prompt_version_tag.set"
    PROMPT_VERSION_TAG_DELETED = "prompt_version_tag.deleted"
    PROMPT_ALIAS_CREATED = "prompt_alias.created"
    PROMPT_ALIAS_DELETED = "prompt_alias.deleted"

    @property
    def noun(self) -> str:
        """What it happened to."""
        return self.value.partition(".")[0]

    @property
    def verb(self) -> str:
        """What happened."""
        return self.value.partition(".")[2]


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """An address that is told of events.

    Attributes:
        webhook_id: names it.
        name: what people call it.
        url: where the events are sent.
        events: which ones.
        secret: signs what is sent; empty for unsigned. Never answered, never in the audit chain.
        description: a few words.
        active: whether anything is sent.
        created_at: UTC microseconds.
        updated_at: the same.
    """

    webhook_id: str
    name: str
    url: str
    events: list[WebhookEvent]
    created_at: int
    updated_at: int
    secret: str = ""
    description: str = ""
    active: bool = True
