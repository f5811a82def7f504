"""Routes of webhooks: who is told what happens in the registry."""

from typing import Any

from thrive.domain.actor import KEEPERS
from thrive.domain.webhook import WebhookEvent
from thrive.flows import webhooks as flow
from thrive.flows.webhooks import WebhookLine
from thrive.server.mlflow import pages
from thrive.server.mlflow.calls import Call, Route
from thrive.server.mlflow.given import Given
from thrive.server.mlflow.problems import invalid
from thrive.server.mlflow.shapes import MILLISECOND
from thrive.store import webhooks

LONGEST_URL = 2048
LONGEST_SECRET = 1000
LONGEST_DESCRIPTION = 1000
_STATUSES = {"ACTIVE": True, "DISABLED": False}


def _create(call: Call) -> dict[str, Any]:
    given = call.given
    line = flow.webhooks_create(
        call.ctx,
        given.text("name", most=200),
        given.text("url", most=LONGEST_URL),
        event=_events(given),
        secret=given.maybe_text("secret", most=LONGEST_SECRET),
        description=given.maybe_text("description", most=LONGEST_DESCRIPTION),
        active=_active(given),
    )
    return {"webhook": _shape(line)}


def _list(call: Call) -> dict[str, Any]:
    limit = call.given.count("max_results", 100, 1000)
    found, after = pages.page(
        flow.webhooks_list(call.ctx),
        limit,
        call.given.maybe_text("page_token"),
        lambda line: line.webhook_id,
    )
    return pages.answer("webhooks", [_shape(line) for line in found], after)


def _get(call: Call) -> dict[str, Any]:
    with call.ctx.read() as tx:
        found = webhooks.get(tx, call.ctx.project_id, call.parts["webhook_id"])
    return {"webhook": _shape(flow.line_of(found))}


def _update(call: Call) -> dict[str, Any]:
    given = call.given
    changes: dict[str, Any] = {}
    for name, most in (
        ("name", 200),
        ("url", LONGEST_URL),
        ("secret", LONGEST_SECRET),
        ("description", LONGEST_DESCRIPTION),
    ):
        if given.has(name):
            changes[name] = given.maybe_text(name, most=most)
    if given.objects("events"):
        changes["events"] = _events(given)
    if given.has("status"):
        changes["active"] = _active(given)
    changed = flow.update(call.ctx, call.parts["webhook_id"], **changes)
    return {"webhook": _shape(flow.line_of(changed))}


def _delete(call: Call) -> dict[str, Any]:
    flow.webhooks_remove(call.ctx, call.parts["webhook_id"])
    return {}


def _test(call: Call) -> dict[str, Any]:
    asked = call.given.raw("event")
    event = _event(Given(asked, "event.")) if isinstance(asked, dict) and asked else None
    done = flow.webhooks_test(call.ctx, call.parts["webhook_id"], event=event)
    result: dict[str, Any] = {"success": done.success}
    if done.status is not None:
        result |= {"response_status": done.status, "response_body": done.body}
    if done.error:
        result["error_message"] = done.error
    return {"result": result}


def _events(given: Given) -> list[WebhookEvent]:
    return list(dict.fromkeys(_event(each) for each in given.objects("events")))


def _event(given: Given) -> WebhookEvent:
    name = f"{given.text('entity')}.{given.text('action')}".lower()
    try:
        return WebhookEvent(name)
    except ValueError:
        known = ", ".join(WebhookEvent)
        raise invalid(f"There is no event '{name[:80]}'; there are {known}.") from None


def _active(given: Given) -> bool:
    status = given.maybe_text("status") or "ACTIVE"
    if status not in _STATUSES:
        raise invalid(f"Invalid webhook status '{status[:40]}': it must be ACTIVE or DISABLED.")
    return _STATUSES[status]


def _shape(line: WebhookLine) -> dict[str, Any]:
    return {
        "webhook_id": line.webhook_id,
        "name": line.name,
        "url": line.url,
        "description": line.description,
        "events": [
            {"entity": each.noun.upper(), "action": each.verb.upper()} for each in line.events
        ],
        "status": "ACTIVE" if line.active else "DISABLED",
        "creation_timestamp": line.created_at // MILLISECOND,
        "last_updated_timestamp": line.updated_at // MILLISECOND,
    }


ROUTES = (
    Route("POST", "webhooks", KEEPERS, _create),
    Route("GET", "webhooks", KEEPERS, _list),
    Route("GET", "webhooks/{webhook_id}", KEEPERS, _get),
    Route("PATCH", "webhooks/{webhook_id}", KEEPERS, _update),
    Route("DELETE", "webhooks/{webhook_id}", KEEPERS, _delete),
    Route("POST", "webhooks/{webhook_id}/test", KEEPERS, _test),
)
