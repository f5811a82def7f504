"""Webhooks: addresses that are told what happens in the registry, signed, until they took it.

What is sent follows the MLflow protocol: `{"entity", "action", "timestamp", "data"}`, with the
headers `X-MLflow-Delivery-Id` (the same each time an event is sent again), `X-MLflow-Timestamp`
and, where there is a secret, `X-MLflow-Signature`: HMAC-SHA256 over `id.timestamp.body`.
"""

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import msgspec

from thrive.domain.actor import KEEPERS
from thrive.domain.clock import machine_now
from thrive.domain.errors import Refused, StoreUnavailable, ThriveError, UsageError
from thrive.domain.identifiers import new_id
from thrive.domain.webhook import Webhook, WebhookEvent
from thrive.flows.public_post import Answered, checked_url, post
from thrive.operations import Context, Kind, PrivateText, operation
from thrive.settings import read_settings
from thrive.store import webhooks

ID_HEADER = "X-MLflow-Delivery-Id"
TIME_HEADER = "X-MLflow-Timestamp"
SIGNATURE_HEADER = "X-MLflow-Signature"
MOST = 100
"""Webhooks of a project."""
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_TRIED_AGAIN = frozenset({408, 425, 429})


class WebhookLine(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook as it is shown: all but its secret."""

    webhook_id: str
    name: str
    url: str
    events: list[WebhookEvent]
    signed: bool
    active: bool
    description: str
    created_at: int
    updated_at: int


class WebhookTest(msgspec.Struct, frozen=True, kw_only=True):
    """What an address said to an example of an event."""

    success: bool
    status: int | None = None
    body: str = ""
    error: str = ""


@operation(
    "webhooks create", role=KEEPERS, writes=True, next_hint="thrive webhooks test {webhook_id}"
)
def webhooks_create(
    ctx: Context,
    name: str,
    url: str,
    *,
    event: list[WebhookEvent],
    secret: PrivateText = "",
    description: str = "",
    active: bool = True,
) -> WebhookLine:
    """Have an address told what happens in the registry.

    Args:
        name: what people call it: letters, digits, dots, hyphens and underscores.
        url: where events are sent: https, and not of our own network.
        event: what is told, e.g. model_version.created; repeat for more.
        secret: signs what is sent, so that the receiver knows who sent it.
        description: a few words.
        active: whether it is sent anything yet.

    Raises:
        UsageError: the name, the address or the events are none.
        Refused: the address is one of our own network, or there are too many webhooks.

    Examples:
        thrive webhooks create deploys https://example.org/in --event model_version.created
    """
    now = machine_now()
    webhook = checked(
        Webhook(
            webhook_id=new_id(),
            name=name,
            url=url,
            events=list(dict.fromkeys(event)),
            secret=secret,
            description=description,
            active=active,
            created_at=now,
            updated_at=now,
        )
    )
    with ctx.write(f"webhook:{webhook.webhook_id}", **_told(webhook)) as tx:
        if len(webhooks.find(tx, ctx.project_id)) >= MOST:
            raise Refused(f"The project has {MOST} webhooks.", "thrive webhooks list")
        webhooks.save(tx, ctx.project_id, webhook)
    return line_of(webhook)


@operation("webhooks list", role=KEEPERS)
def webhooks_list(ctx: Context) -> list[WebhookLine]:
    """List the webhooks of the project, oldest first.

    Examples:
        thrive webhooks list
    """
    with ctx.read() as tx:
        return [line_of(each) for each in webhooks.find(tx, ctx.project_id)]


@operation("webhooks remove", role=KEEPERS, writes=True, next_hint="thrive webhooks list")
def webhooks_remove(ctx: Context, webhook_id: str) -> WebhookLine:
    """Send an address nothing any more, not even what waits.

    Args:
        webhook_id: as `thrive webhooks list` names it.

    Raises:
        NotFound: there is none of that id.

    Examples:
        thrive webhooks remove 01928374aabb7ccd8ee0112233445566
    """
    with ctx.write(f"webhook:{webhook_id[:64]}", removed=True) as tx:
        webhook = webhooks.get(tx, ctx.project_id, webhook_id)
        webhooks.remove(tx, ctx.project_id, webhook_id)
    return line_of(webhook)


@operation("webhooks test", role=KEEPERS)
def webhooks_test(
    ctx: Context, webhook_id: str, *, event: WebhookEvent | None = None
) -> WebhookTest:
    """Send an address an example of an event now, and show what it says.

    Args:
        webhook_id: as `thrive webhooks list` names it.
        event: of what; the first that it is told of if not given.

    Raises:
        NotFound: there is none of that id.

    Examples:
        thrive webhooks test 01928374aabb7ccd8ee0112233445566
    """
    with ctx.read() as tx:
        webhook = webhooks.get(tx, ctx.project_id, webhook_id)
    chosen = event or webhook.events[0]
    try:
        answer = _send(webhook, new_id(), chosen, machine_now(), _example(chosen))
    except ThriveError as error:
        return WebhookTest(success=False, error=error.what)
    return WebhookTest(success=answer.status < 300, status=answer.status, body=answer.body)


@operation(webhooks.SENDING, role=KEEPERS, kind=Kind.JOB)
def webhooks_send(
    ctx: Context, webhook_id: str, delivery: str, event: WebhookEvent, at: int, data: str
) -> None:
    """Send one event to one address, and return once it was taken.

    Args:
        webhook_id: the webhook; one that is gone or inactive is sent nothing.
        delivery: names this event to this address: a receiver takes it once.
        event: what happened.
        at: when, in UTC microseconds.
        data: the facts of it, as JSON.

    Raises:
        StoreUnavailable: the other side did not take it; it is tried again.
        Refused: the other side refused it for good, or the address leads into our own network.

    Examples:
        thrive webhooks send ID DELIVERY model_version.created 1767225600000000 '{"name": "m"}'
    """
    with ctx.read() as tx:
        known = {each.webhook_id: each for each in webhooks.find(tx, ctx.project_id)}
    webhook = known.get(webhook_id)
    if webhook is None or not webhook.active:
        return
    answer = _send(webhook, delivery, event, at, msgspec.json.decode(data))
    if answer.status >= 500 or answer.status in _TRIED_AGAIN:
        raise StoreUnavailable(
            f"{webhook.name} answered {answer.status}.", "it is tried again by itself"
        )
    if answer.status >= 300:
        raise Refused(
            f"{webhook.name} answered {answer.status}; redirects are not followed.",
            f"thrive webhooks test {webhook_id}",
        )


def update(ctx: Context, webhook_id: str, **changes: Any) -> Webhook:
    """Change what is given of a webhook.

    Raises:
        NotFound: there is none of that id.
        UsageError, Refused: as `webhooks create`.
    """
    with ctx.read() as tx:
        known = webhooks.get(tx, ctx.project_id, webhook_id)
    changed = checked(msgspec.structs.replace(known, updated_at=machine_now(), **changes))
    with ctx.write(f"webhook:{webhook_id}", **_told(changed)) as tx:
        webhooks.get(tx, ctx.project_id, webhook_id)
        webhooks.save(tx, ctx.project_id, changed)
    return changed


def checked(webhook: Webhook) -> Webhook:
    """Return a webhook that may be kept.

    Raises:
        UsageError: its name, its address or its events are none.
        Refused: its address is one of our own network.
    """
    if not _NAME.fullmatch(webhook.name):
        raise UsageError(
            f"{webhook.name[:80]!r} cannot name a webhook.",
            "letters, digits, dots, hyphens and underscores, at most 63",
        )
    if not webhook.events:
        raise UsageError(
            "Webhook events cannot be empty.", f"--event {WebhookEvent.VERSION_CREATED}"
        )
    checked_url(webhook.url, private_hosts())
    return webhook


def private_hosts() -> Collection[str]:
    """Return the hosts of our own network that events may be sent to."""
    return read_settings().own_hosts()


def line_of(webhook: Webhook) -> WebhookLine:
    """Return a webhook as it is shown."""
    return WebhookLine(
        webhook_id=webhook.webhook_id,
        name=webhook.name,
        url=webhook.url,
        events=webhook.events,
        signed=bool(webhook.secret),
        active=webhook.active,
        description=webhook.description,
        created_at=webhook.created_at,
        updated_at=webhook.updated_at,
    )


def signature_of(secret: str, delivery: str, timestamp: str, body: bytes) -> str:
    """Return the signature of a delivery, as `v1,BASE64`: the scheme of Standard Webhooks."""
    signed = f"{delivery}.{timestamp}.".encode() + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _send(
    webhook: Webhook, delivery: str, event: WebhookEvent, at: int, data: dict[str, Any]
) -> Answered:
    body = msgspec.json.encode(
        {
            "entity": event.noun,
            "action": event.verb,
            "timestamp": datetime.fromtimestamp(at / 1e6, UTC).isoformat(),
            "data": data,
        }
    )
    now = str(int(time.time()))
    headers = {"Content-Type": "application/json", ID_HEADER: delivery, TIME_HEADER: now}
    if webhook.secret:
        headers[SIGNATURE_HEADER] = signature_of(webhook.secret, delivery, now, body)
    return post(webhook.url, body, headers, private_hosts())


def _told(webhook: Webhook) -> dict[str, Any]:
    """Return what the audit chain keeps: an address may hold a secret in its path."""
    host = checked_url(webhook.url, private_hosts()).hostname
    return {"name": webhook.name, "host": host, "events": webhook.events, "active": webhook.active}


def _example(event: WebhookEvent) -> dict[str, Any]:
    """Return the facts of an event as they could be."""
    noun = event.noun
    data: dict[str, Any] = {"name": "example"}
    if "version" in noun or (event.verb == "created" and noun.endswith("alias")):
        data["version"] = "1"
    if noun.endswith("_tag"):
        data |= {
            "key": "example",
            **({"value": secrets.token_hex(4)} if event.verb == "set" else {}),
        }
    if noun.endswith("_alias"):
        data["alias"] = "example"
    if event.verb == "created" and not noun.endswith("_alias"):
        data |= {"tags": {}, "description": None}
    return data
