"""Webhooks, and the outbox of what they are sent.

An event is written into the outbox (a job) by the transaction in which it happens: it is told if
and only if it happened, and told again until it was taken.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from thrive.domain.clock import machine_now
from thrive.domain.errors import NotFound
from thrive.domain.identifiers import new_id
from thrive.domain.project import Job, JobState
from thrive.domain.webhook import Webhook, WebhookEvent
from thrive.store import jobs
from thrive.store.database import Tx
from thrive.store.rows import from_row, many, mine, one, upsert
from thrive.store.tables.project import webhooks

SENDING = "webhooks send"
"""The operation that a worker executes to tell one address of one event."""
ATTEMPTS = 10
"""With pauses that double from one second: for about a quarter of an hour."""

_active = sa.select(webhooks).where(
    webhooks.c.project_id == sa.bindparam("project"), webhooks.c.active
)


def save(tx: Tx, project_id: str, webhook: Webhook) -> None:
    """Add a webhook, or write it anew."""
    upsert(tx, project_id, webhooks, webhook)


def find(tx: Tx, project_id: str) -> list[Webhook]:
    """Return the webhooks of a project, oldest first."""
    return many(tx, Webhook, mine(webhooks, project_id).order_by(webhooks.c.webhook_id))


def get(tx: Tx, project_id: str, webhook_id: str) -> Webhook:
    """Return a webhook.

    Raises:
        NotFound: there is none of that id.
    """
    query = mine(webhooks, project_id).where(webhooks.c.webhook_id == webhook_id)
    found = one(tx, Webhook, query)
    if found is None:
        raise NotFound(f"Webhook with ID {webhook_id[:64]} not found.", "thrive webhooks list")
    return found


def remove(tx: Tx, project_id: str, webhook_id: str) -> None:
    """Remove a webhook; what is in the outbox for it is not sent."""
    tx.execute(
        sa.delete(webhooks).where(
            webhooks.c.project_id == project_id, webhooks.c.webhook_id == webhook_id
        )
    )


def tell(tx: Tx, project_id: str, event: WebhookEvent, data: Mapping[str, Any]) -> None:
    """Put an event into the outbox of each active webhook that asked for it.

    Args:
        tx: the transaction in which it happens.
        project_id: the project.
        event: what happens.
        data: the facts of it, as JSON values.
    """
    for row in tx.execute(_active, {"project": project_id}).mappings():
        webhook = from_row(Webhook, row)
        if event in webhook.events:
            jobs.add(tx, project_id, _job(webhook, event, data))


def _job(webhook: Webhook, event: WebhookEvent, data: Mapping[str, Any]) -> Job:
    now = machine_now()
    delivery = new_id()
    return Job(
        job_id=delivery,
        operation=SENDING,
        arguments={
            "webhook_id": webhook.webhook_id,
            "delivery": delivery,
            "event": event.value,
            "at": now,
            "data": msgspec.json.encode(data).decode(),
        },
        state=JobState.WAITING,
        actor="thrive-controller",
        run_at=now,
        created_at=now,
        max_attempts=ATTEMPTS,
    )
