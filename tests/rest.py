"""A server's application asked without a network, and real servers on a thread of the test."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from thrive.domain.actor import local_actor
from thrive.flows.catalogue import load_all
from thrive.operations import Context, find_operation, invoke
from thrive.server.app import App
from thrive.server.options import AppOptions
from thrive.server.process import bind, serve

LOCAL_TOKEN = "local-token-of-the-test"


class Reply(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json()["error"]["code"]


def make_app(home, operations=None, **options) -> App:
    """Return the application of a home, whose local token is `LOCAL_TOKEN`."""
    known = {"local_token": LOCAL_TOKEN, "local_actor": local_actor("owner")}
    app = App(home, lambda: operations or load_all(), AppOptions(**(known | options)))
    assert app.rooms  # as a server has opened them when it is asked
    return app


def ask(
    app,
    method,
    path,
    *,
    query="",
    token=LOCAL_TOKEN,
    body=None,
    raw=None,
    headers=None,
    address="127.0.0.1",
) -> Reply:
    """Send one request to an application."""
    sent = {"host": "localhost:8000"}
    if token is not None:
        sent["authorization"] = f"Bearer {token}"
    content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
    if method not in {"GET", "HEAD", "OPTIONS"}:
        sent["content-type"] = "application/json"
    sent |= headers or {}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(k.encode(), v.encode("latin-1")) for k, v in sent.items() if v is not None],
        "client": (address, 50000),
        "server": ("127.0.0.1", 8000),
    }
    return asyncio.run(_exchange(app, scope, content))


async def _exchange(app, scope, content) -> Reply:
    messages = []
    parts = [content[at : at + (1 << 20)] for at in range(0, len(content), 1 << 20)] or [b""]

    async def receive():
        if not parts:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message):
        messages.append(message)

    await app(scope, receive, send)
    begin = messages[0]
    headers: dict[str, str] = {}
    for key, value in begin["headers"]:  # one that comes twice: a line each
        name = key.decode().lower()
        headers[name] = "\n".join(filter(None, (headers.get(name), value.decode("latin-1"))))
    return Reply(begin["status"], headers, b"".join(m.get("body", b"") for m in messages[1:]))


def new_token(context: Context, name: str, *roles: str, expires: str = "") -> str:
    """Create a token and return its secret."""
    load_all()
    given = {"name": name, "role": list(roles), "expires": expires}
    return invoke(find_operation("tokens create"), context, given).secret


@contextmanager
def running(app: App) -> Iterator[str]:
    """Run an application on a free port of the loopback; yields its URL."""
    listening = bind("127.0.0.1", 0)
    told = asyncio.Event()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(
        target=lambda: loop.run_until_complete(serve(app, listening, told)), name="server"
    )
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(told.set)
        thread.join()
        loop.close()
        app.close()
