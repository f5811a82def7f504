"""The operation `ui`: the pages in a browser."""

import contextlib
import secrets
import socket
import sys
import threading

import msgspec

from thrive.domain.actor import ANYONE
from thrive.domain.errors import InfrastructureError, Refused, ThriveError, UsageError
from thrive.operations import Context, Kind, operation
from thrive.tracking.search import index_of
from thrive.ui.app import ENTER, pages_app
from thrive.ui.guard import LOOPBACK


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """Where the pages were, until they were stopped."""

    url: str


@operation("ui", kind=Kind.CLIENT, role=ANYONE, next_hint="thrive status")
def ui(ctx: Context, *, port: int = 8200, host: str = "127.0.0.1") -> Shown:
    """Show the project in a browser until stopped: Today, models, alerts, releases, runs, data.

    Whoever opens the printed link may decide and act from the pages, as the owner of the folder;
    others on this machine only read. Ctrl-C stops.

    Args:
        port: the port; 0 takes a free one.
        host: the address to listen on; only this machine's own.

    Raises:
        Refused: other machines would reach the address.
        InfrastructureError: the port is taken.

    Examples:
        thrive ui
        thrive ui --port 8300
    """
    if host not in LOOPBACK:
        raise Refused(
            f"{host[:80]!r} is an address that others reach, and pages ask nobody who they are.",
            "thrive ui, and an SSH tunnel from another machine",
        )
    if not 0 <= port < 1 << 16:
        raise UsageError(f"{port} is no port.", "thrive ui --port 8200")
    ctx.now()
    with _listening(host, port) as listener:
        name = f"[{host}]" if ":" in host else host
        url = f"http://{name}:{listener.getsockname()[1]}/"
        secret = secrets.token_urlsafe(24)
        _say(f"next: open {url.rstrip('/')}{ENTER}{secret} (Ctrl-C stops)")
        _serve(ctx, listener, secret)
    return Shown(url=url)


def _say(line: str) -> None:
    """Tell where the pages are while they are there; the result comes only after they stopped."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(
            128
        )  # the address is said next: a browser that is quick must wait, not fail
    except OSError as error:
        listener.close()
        raise InfrastructureError(
            f"Port {port} on {host} cannot be used: {error.strerror}.", "thrive ui --port 0"
        ) from error
    return listener


def _serve(ctx: Context, listener: socket.socket, secret: str) -> None:
    import uvicorn

    warming = threading.Thread(target=_warm, args=(ctx,), daemon=True)
    warming.start()
    config = uvicorn.Config(
        pages_app(ctx, secret),
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=1,  # pages that are told of changes would hold it for ever
    )
    with contextlib.suppress(
        KeyboardInterrupt
    ):  # uvicorn has finished by then, and raises it again
        uvicorn.Server(config).run(sockets=[listener])
    warming.join(5)


def _warm(ctx: Context) -> None:
    """Read what searches of runs need, so that the first look at them does not wait for it."""
    with contextlib.suppress(ThriveError), ctx.read() as tx:  # a page would say what is wrong
        index_of(ctx.home).warm(tx)
