"""`data openlineage`: the lineage of a version, in a file or sent to a catalogue of data."""

import json
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from thrive.data.lineage import uses_of
from thrive.data.openlineage import run_events
from thrive.data.reading import find_version
from thrive.domain.actor import AUTHORS
from thrive.domain.errors import NotFound, StoreUnavailable, UsageError
from thrive.flows.public_post import post
from thrive.operations import Context, Kind, operation
from thrive.settings import read_settings

_HERE = frozenset({"localhost", "127.0.0.1", "::1"})
"""The command runs on its user's machine: a catalogue there is meant."""


class Emitted(msgspec.Struct, frozen=True, kw_only=True):
    """How many events went where."""

    events: int
    runs: int
    target: str


@operation("data openlineage", role=AUTHORS, kind=Kind.CLIENT)
def emit(ctx: Context, name: str, *, to: str = "") -> Emitted:
    """Write the runs that read or made a version as OpenLineage events.

    Args:
        name: the dataset, or one version of it as NAME@VERSION.
        to: a file, one event a line; or the http(s):// address that takes events one by one.
            Without it, what the setting THRIVE_OPENLINEAGE names.

    Raises:
        UsageError: no place is named, or one that takes no events.
        NotFound: there is no such version, or no run has read it.
        Refused: `to` is an address of our own network, and no setting names its host.
        StoreUnavailable: the address did not take an event.

    Examples:
        thrive data openlineage flights --to events.jsonl
        thrive data openlineage flights@2 --to http://localhost:5000/api/v1/lineage
    """
    target = _target(to or read_settings().openlineage)
    version = find_version(ctx, name)
    with ctx.read() as tx:
        ids = list(dict.fromkeys(run_id for run_id, _ in uses_of(tx, ctx, version)))
        events = [event for run_id in ids for event in run_events(tx, ctx, run_id)]
    if not events:
        raise NotFound(f"No run has read {version.dataset}@{version.version}.", "thrive run FILE")
    if _is_address(target):
        private = _HERE | read_settings().own_hosts() | ({_host(target)} if not to else set())
        for event in events:
            _send(target, event, private)
    else:
        lines = "".join(json.dumps(event, sort_keys=True) + "\n" for event in events)
        _write(ctx.local_folder() / target, lines)
    return Emitted(events=len(events), runs=len(ids), target=target)


def _target(to: str) -> str:
    if not to:
        raise UsageError(
            "Nothing says where events go.",
            "thrive data openlineage NAME --to events.jsonl, or set THRIVE_OPENLINEAGE",
        )
    if "://" in to and not _is_address(to):
        raise UsageError(f"{to[:80]!r} takes no events.", "give a file or an http(s):// address")
    return to


def _is_address(target: str) -> bool:
    return target.startswith(("http://", "https://"))


def _host(target: str) -> str:
    """Return the host of the address that a setting names: it is meant, wherever it is."""
    return (urlsplit(target).hostname or "").lower()


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}.", "give a file in a folder that exists"
        ) from error


def _send(url: str, event: dict[str, Any], private: frozenset[str]) -> None:
    answered = post(url, json.dumps(event).encode(), {"Content-Type": "application/json"}, private)
    if answered.status >= HTTPStatus.MULTIPLE_CHOICES:
        raise StoreUnavailable(f"{url} did not take the event: {answered.status}.", "try again")
