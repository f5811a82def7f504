"""Admin: who may come in, what is set, what works in the background, where models are served."""

from typing import Any

import msgspec

from thrive.domain.actor import KEEPERS
from thrive.domain.clock import MINUTE, machine_now
from thrive.domain.project import Job, JobState, TeamContact
from thrive.domain.schedule import Schedule
from thrive.flows.tokens import TokenLine, tokens_list
from thrive.operations import Context
from thrive.serving.hosts import HostStatus, seen
from thrive.settings import Settings, read_settings
from thrive.store import jobs, projects, releases, schedules
from thrive.variables import variable

JOBS = 50
"""Jobs on the page, newest first."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting of this machine; a text may hold a secret, so only that it is set is told."""

    name: str
    value: str
    is_set: bool
    said: str


class AdminPage(msgspec.Struct, frozen=True, kw_only=True):
    """What keepers look after.

    Attributes:
        viewer: who looks.
        roles: what they are.
        tokens: of the project; None where the viewer may not see them.
        jobs: the newest.
        unattended: how many of them wait for a worker while none is at work.
        teams: whom messages reach.
    """

    now: int
    viewer: str
    roles: list[str]
    tokens: list[TokenLine] | None
    jobs: list[Job]
    unattended: int
    hosts: list[HostStatus]
    schedules: list[Schedule]
    teams: list[TeamContact]
    settings: list[Setting]


def load(ctx: Context) -> AdminPage:
    """Return what keepers look after; tokens only for those who keep them."""
    project = ctx.project_id
    with ctx.read() as tx:
        found = jobs.find(tx, project, JOBS)
        hosts = seen(releases.find_hosts(tx, project), machine_now())
        planned = schedules.find(tx, project)
        teams = projects.contacts(tx, project)
    return AdminPage(
        now=ctx.now(),
        viewer=ctx.actor.name,
        roles=sorted(ctx.actor.roles),
        tokens=tokens_list(ctx) if ctx.actor.roles & KEEPERS else None,
        jobs=found,
        unattended=_unattended(found, machine_now()),
        hosts=hosts,
        schedules=planned,
        teams=teams,
        settings=_settings(),
    )


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
