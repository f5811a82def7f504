"""A browser without a screen: asks an ASGI application and returns what it answers."""

import asyncio
from typing import Any
from urllib.parse import unquote, urlencode

import msgspec


class Answer(msgspec.Struct, frozen=True):
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    text: str


def ask(
    app: Any,
    target: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    form: dict[str, str] | None = None,
    binary: bool = False,
) -> Answer:
    """Send one request, or a form, and return the answer; of a binary one the text is left out."""
    content = urlencode(form).encode() if form is not None else b""
    method = "POST" if form is not None else method
    path, _, query = target.partition("?")
    sent = {"host": "127.0.0.1:8200", **(headers or {})}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "client": ("127.0.0.1", 40000),
        "server": ("127.0.0.1", 8200),
    }
    messages: list[dict[str, Any]] = []
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            await asyncio.Event().wait()
        asked = True
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    asyncio.run(app(scope, receive, send))
    start = next(each for each in messages if each["type"] == "http.response.start")
    body = b"".join(each.get("body", b"") for each in messages)
    found = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], found, "" if binary else body.decode())
