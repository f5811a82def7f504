"""Forms of pages: who may send one, and what stands in it.

A page of another origin can make a browser send a form here, with the cookie of this address. So a
form carries a key that follows from the secret of the session, which such a page cannot read; the
servers refuse other origins beside that.
"""

import hmac
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from blake3 import blake3

from thrive.domain.errors import Refused, UsageError

if TYPE_CHECKING:
    from starlette.requests import Request

FORM_BYTES = 64 << 10


def form_key(secret: str) -> str:
    """Return the key that forms of a session carry; "" for a viewer without one, who only reads."""
    return blake3(b"thrive form\n" + secret.encode()).hexdigest(length=16) if secret else ""


def check_key(sent: str, secret: str) -> None:
    """Let a form pass that a page made for the same signed-in browser.

    Raises:
        Refused: it carries another key.
    """
    wanted = form_key(secret)
    if not wanted or not hmac.compare_digest(sent.encode(), wanted.encode()):
        raise Refused("This form is not of your session.", "open the page again, and send it anew")


async def read_form(request: "Request") -> dict[str, str]:
    """Return the fields of a form.

    Raises:
        UsageError: it is too large, or no text.
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > FORM_BYTES:
            raise UsageError(f"The form has more than {FORM_BYTES:,} bytes.", "say it shorter")
    try:
        text = body.decode("ascii")
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=100))
    except ValueError:
        raise UsageError("The form cannot be read.", "open the page again") from None


def asked_version(text: str) -> int | None:
    """Return the number of a version as an address asks for it, None where it asks for none.

    Raises:
        UsageError: it is no number.
    """
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise UsageError(f"{text[:40]!r} is no version.", "write a number, e.g. 1")
    return int(text)


def local_target(target: str) -> str:
    """Return a path of this server to go on to; anything else is the first page."""
    printable = target.isascii() and target.isprintable()
    if not printable or not target.startswith("/") or target.startswith("//") or "\\" in target:
        return "/"
    return target
