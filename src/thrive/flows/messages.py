"""Messages to teams: by mail, to a web hook, into a file or onto the console.

A channel is one text of the contract: `mailto:team@example.org`, `https://hooks...`,
`file:PATH` or `console:`. Only people who hold the project's folder write channels; a server
that sends for others guards its network itself.
"""

import json
import smtplib
import sys
import urllib.error
import urllib.request
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import unquote, urlsplit

from thrive.domain.clock import format_time, machine_now
from thrive.domain.errors import StoreUnavailable, UsageError
from thrive.settings import Settings, read_settings

TIMEOUT_S = 10.0


def send(channel: str, subject: str, body: str, folder: Path) -> None:
    """Send a message and return once the other side took it.

    Args:
        channel: where to, as the contract spells it.
        subject: one line.
        body: plain text.
        folder: the project's folder, which `file:` paths are relative to.

    Raises:
        UsageError: the channel's form is unknown, no mail server is set, or a file would lie
            outside the project's folder.
        StoreUnavailable: the other side did not take the message.
    """
    kind, _, target = channel.partition(":")
    match kind:
        case "mailto" if target:
            _mail(target, subject, body, read_settings())
        case "https" | "http" if urlsplit(channel).hostname:
            _post(channel, subject, body)
        case "file" if target:
            _append(_inside(folder, target), subject, body)
        case "console":
            sys.stderr.write(f"[message] {subject}\n{body}\n")
        case _:
            raise UsageError(
                f"{channel!r} is not a channel.",
                "write mailto:ADDRESS, https://..., file:PATH or console:",
            )


def _mail(address: str, subject: str, body: str, settings: Settings) -> None:
    if not settings.smtp_url:
        raise UsageError(
            f"There is no mail server to reach {address}.",
            "set THRIVE_SMTP_URL=smtp://user:password@host:587",
        )
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = settings.mail_from, address, subject
    message.set_content(body)
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


def _post(url: str, subject: str, body: str) -> None:
    data = json.dumps({"text": f"{subject}\n{body}"}).encode()
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked by the caller
        url, data=data, headers={"Content-Type": "application/json"}, method="POST"
    )
    host = urlsplit(url).hostname
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - same
            answer.read(1)
    except (OSError, urllib.error.URLError) as error:
        raise StoreUnavailable(
            f"The web hook at {host} did not take the message: {error}.", "check its address"
        ) from error


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
