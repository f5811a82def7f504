"""Admin: who may come in, what is set, what works in the background, where models are served."""

from typing import Any

import msgspec

from thrive.domain.actor import KEEPERS, Actor
from thrive.domain.clock import MINUTE, machine_now
from thrive.domain.project import Job, JobState, TeamContact
from thrive.domain.schedule import Schedule
from thrive.flows.tokens import TokenLine, tokens_list
from thrive.operations import Context
from thrive.serving.hosts import HostStatus, seen
from thrive.settings import Settings, read_settings
from thrive.store import jobs, projects, releases, schedules, sessions, tokens
from thrive.store.database import Tx
from thrive.variables import variable

JOBS = 50
"""Jobs on the page, newest first."""
OWNER = Actor(name="the owner of the home", roles=frozenset())
"""Whoever signed in with the token that the server made for itself."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting of this machine; a text may hold a secret, so only that it is set is told."""

    name: str
    value: str
    is_set: bool
    said: str


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever looks at pages by a session: with what it was begun, and until when it is good."""

    name: str
    roles: list[str]
    by: str
    until: int


class AdminPage(msgspec.Struct, frozen=True, kw_only=True):
    """What keepers look after.

    Attributes:
        viewer: who looks.
        roles: what they are.
        tokens: of the project; None where the viewer may not see them.
        signed_in: whose sessions are good at the machine's time, for those who see tokens.
        machine_now: the machine's time, which sessions follow.
        jobs: the newest.
        unattended: how many of them wait for a worker while none is at work.
        teams: whom messages reach.
    """

    now: int
    viewer: str
    roles: list[str]
    tokens: list[TokenLine] | None
    signed_in: list[SignedIn]
    machine_now: int
    jobs: list[Job]
    unattended: int
    hosts: list[HostStatus]
    schedules: list[Schedule]
    teams: list[TeamContact]
    settings: list[Setting]


def load(ctx: Context) -> AdminPage:
    """Return what keepers look after; tokens only for those who keep them."""
    project, keeps = ctx.project_id, bool(ctx.actor.roles & KEEPERS)
    with ctx.read() as tx:
        signed_in = _signed_in(tx, project) if keeps else []
        found = jobs.find(tx, project, JOBS)
        hosts = seen(releases.find_hosts(tx, project), machine_now())
        planned = schedules.find(tx, project)
        teams = projects.contacts(tx, project)
    return AdminPage(
        now=ctx.now(),
        viewer=ctx.actor.name,
        roles=sorted(ctx.actor.roles),
        tokens=tokens_list(ctx) if keeps else None,
        signed_in=signed_in,
        machine_now=machine_now(),
        jobs=found,
        unattended=_unattended(found, machine_now()),
        hosts=hosts,
        schedules=planned,
        teams=teams,
        settings=_settings(),
    )


def _signed_in(tx: Tx, project: str) -> list[SignedIn]:
    """Return whose sessions are good, each name once; of a revoked token there is none."""
    now, found = machine_now(), dict[str, SignedIn]()
    known = {token.token_id: token for token in tokens.every(tx, project) if token.good(now)}
    for session in sessions.good(tx, project, now):
        token = known.get(session.token_id)
        actor = session.actor or (token.actor() if token is not None else None)
        if actor is not None:
            by = "a token" if session.actor is None else "the identity provider"
        elif session.server:
            actor, by = OWNER, "the server's own token"
        else:
            continue
        line = SignedIn(name=actor.name, roles=sorted(actor.roles), by=by, until=session.until)
        found.setdefault(actor.name, line)
    return list(found.values())


def _unattended(found: list[Job], now: int) -> int:
    """Return how many jobs have been due for a minute while no worker holds one."""
    if any(job.state is JobState.RUNNING for job in found):
        return 0
    return sum(job.state is JobState.WAITING and job.run_at < now - MINUTE for job in found)


def _settings() -> list[Setting]:
    present, default = read_settings(), Settings()
    made: list[Setting] = []
    for field in msgspec.structs.fields(Settings):
        value = getattr(present, field.name)
        is_set = value != getattr(default, field.name)
        shown = "set" if isinstance(value, str) and is_set else str(value)
        said = _description(field.type)
        made.append(Setting(name=variable(field.name), value=shown, is_set=is_set, said=said))
    return made


def _description(annotation: Any) -> str:
    notes = (note for note in getattr(annotation, "__metadata__", ()))
    return next((note.description or "" for note in notes if isinstance(note, msgspec.Meta)), "")
