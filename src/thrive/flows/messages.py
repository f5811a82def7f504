"""Messages to teams: by mail, to a web hook, by apprise, into a file or onto the console.

A channel is one text of the contract: `mailto:team@example.org`, `https://hooks...`,
`apprise:NAME` (its address, with its secrets, is a setting of the machine), `file:PATH` or
`console:`. Addresses of our own network are reached only where the machine's settings name their
host.
"""

import json
import smtplib
import sys
from collections.abc import Mapping
from email.message import EmailMessage
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from thrive.domain.clock import format_time, machine_now
from thrive.domain.errors import NotFound, StoreUnavailable, UsageError
from thrive.flows.public_post import checked_host, post
from thrive.settings import Settings, read_settings
from thrive.variables import variable

TIMEOUT_S = 10.0
_PICTURE = "evidence"


def send(channel: str, subject: str, body: str, folder: Path, picture: str = "") -> None:
    """Send a message and return once the other side took it.

    Args:
        channel: where to, as the contract spells it.
        subject: one line.
        body: plain text.
        folder: the project's folder, which `file:` paths are relative to.
        picture: SVG that mails show below the text.

    Raises:
        UsageError: the channel's form is unknown, no mail server is set, or a file would lie
            outside the project's folder.
        NotFound: the settings name no such channel.
        Refused: the address leads into our own network, and its host is not allowed there.
        StoreUnavailable: the other side did not take the message.
    """
    kind, _, target = channel.partition(":")
    settings = read_settings()
    match kind:
        case "mailto" if target:
            _mail(target, subject, body, picture, settings)
        case "https" | "http" if urlsplit(channel).hostname:
            _post(channel, subject, body, settings)
        case "apprise" if target:
            _by_apprise(target, subject, body, settings)
        case "file" if target:
            _append(_inside(folder, target), subject, body)
        case "console":
            sys.stderr.write(f"[message] {subject}\n{body}\n")
        case _:
            raise UsageError(
                f"{channel!r} is not a channel.",
                "write mailto:ADDRESS, https://..., apprise:NAME, file:PATH or console:",
            )


def is_answered_at_once(channel: str) -> bool:
    """Tell whether what is sent to a channel surely stands where its reader looks."""
    return channel.partition(":")[0] in {"file", "console"}


def _mail(address: str, subject: str, body: str, picture: str, settings: Settings) -> None:
    if not settings.smtp_url:
        raise UsageError(
            f"There is no mail server to reach {address}.",
            "set THRIVE_SMTP_URL=smtp://user:password@host:587",
        )
    message = _message(address, subject, body, picture, settings.mail_from)
    url = urlsplit(settings.smtp_url)
    connect = smtplib.SMTP_SSL if url.scheme == "smtps" else smtplib.SMTP
    try:
        with connect(url.hostname or "localhost", url.port or 0, timeout=TIMEOUT_S) as server:
            if url.username:
                if url.scheme != "smtps":
                    server.starttls()
                server.login(unquote(url.username), unquote(url.password or ""))
            server.send_message(message)
    except (OSError, smtplib.SMTPException) as error:
        raise StoreUnavailable(
            f"The mail server {url.hostname} did not take the message: {error}.",
            "check THRIVE_SMTP_URL",
        ) from error


def _message(address: str, subject: str, body: str, picture: str, sender: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, address, subject
    message.set_content(body)
    if picture:
        page = f'<pre style="font: inherit">{escape(body)}</pre><img src="cid:{_PICTURE}">'
        message.add_alternative(page, subtype="html")
        shown = message.get_body(("html",))
        assert isinstance(shown, EmailMessage)
        shown.add_related(
            picture.encode(), "image", "svg+xml", cid=f"<{_PICTURE}>", filename="evidence.svg"
        )
    return message


def _post(url: str, subject: str, body: str, settings: Settings) -> None:
    data = json.dumps({"text": f"{subject}\n{body}"}).encode()
    answer = post(url, data, {"Content-Type": "application/json"}, settings.own_hosts())
    if not 200 <= answer.status < 300:
        raise StoreUnavailable(
            f"The web hook at {urlsplit(url).hostname} did not take the message: "
            f"HTTP {answer.status}.",
            "check its address",
        )


def _by_apprise(name: str, subject: str, body: str, settings: Settings) -> None:
    """Send by whatever service the channel's address names: chats, pagers, telephones."""
    channels = settings.named_channels()
    if name not in channels:
        raise NotFound(
            f"The settings name no channel {name!r}.",
            f"set {variable('channels')}='{name}=slack://TokenA/TokenB/TokenC'",
        )
    try:
        import apprise
    except ModuleNotFoundError:
        raise UsageError("apprise is not installed.", 'pip install "thrive[apprise]"') from None
    asset = apprise.AppriseAsset(http_redirects=False)
    service: Any = apprise.Apprise.instantiate(channels[name], asset=asset)
    if service is None:
        raise UsageError(
            f"The address of the channel {name!r} is none that apprise knows.",
            f"correct it in {variable('channels')}",
        )
    if "host" in _tokens(service):
        checked_host(str(service.host), int(service.port or 443), settings.own_hosts())
    if not service.notify(title=subject, body=body):
        raise StoreUnavailable(
            f"The service behind the channel {name!r} did not take the message.",
            f"check its address in {variable('channels')}",
        )


def _tokens(service: Any) -> Mapping[str, Any]:
    """Return the parts of a service's address: those with a host may lead anywhere."""
    return service.template_tokens


def _inside(folder: Path, target: str) -> Path:
    """Return a file of the project's folder: a contract must not write anywhere else."""
    path = (folder / target).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise UsageError(
            f"The channel file:{target} leaves the project's folder.",
            "give a path inside it, e.g. file:messages/flights-ml.txt",
        )
    return path


def _append(path: Path, subject: str, body: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{format_time(machine_now())} {subject}\n{body}\n")
    except OSError as error:
        raise UsageError(
            f"The channel file:{path} cannot be written: {error.strerror}.",
            "give a file in a folder you may write to",
        ) from error
