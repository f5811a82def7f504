"""Projects, their clock, their contracts in force and their teams' channels."""

import sqlalchemy as sa

from thrive.domain.clock import ClockMode, ClockState, machine_now
from thrive.domain.errors import Conflict
from thrive.domain.identifiers import new_id
from thrive.domain.project import Project, StoredContract, TeamContact
from thrive.store import audit, changes
from thrive.store.database import Tx
from thrive.store.rows import insert_missing, many, mine, one, to_row, upsert
from thrive.store.tables.project import contracts, projects, team_contacts

_clock = sa.select(projects.c.clock_mode, projects.c.replay_now).where(
    projects.c.project_id == sa.bindparam("project")
)


def create(tx: Tx, name: str) -> Project:
    """Create a project, the head of its audit chain and its clock."""
    if find(tx, name) is not None:
        raise Conflict(f"A project named {name!r} exists already.", "choose another name")
    project = Project(project_id=new_id(), name=name, created_at=machine_now())
    tx.execute(
        sa.insert(projects).values(
            project_id=project.project_id,
            name=name,
            clock_mode=ClockMode.REAL.value,
            replay_now=0,
            created_at=project.created_at,
        )
    )
    audit.start_chain(tx, project.project_id)
    changes.append(tx, project.project_id, "project", project.project_id)
    return project


def find(tx: Tx, name: str) -> Project | None:
    """Return the project of a name, or None."""
    return one(tx, Project, sa.select(projects).where(projects.c.name == name))


def every(tx: Tx) -> list[Project]:
    """Return all projects of the store, by name."""
    return many(tx, Project, sa.select(projects).order_by(projects.c.name))


def clock(tx: Tx, project_id: str) -> ClockState:
    """Return the project's clock."""
    row = tx.execute(_clock, {"project": project_id}).one()
    return ClockState(mode=ClockMode(row.clock_mode), replay_now=row.replay_now)


def set_clock(tx: Tx, project_id: str, state: ClockState) -> None:
    """Write the project's clock; only a replay moves it."""
    tx.execute(
        sa.update(projects)
        .where(projects.c.project_id == project_id)
        .values(clock_mode=state.mode.value, replay_now=state.replay_now)
    )


def store_contract(tx: Tx, project_id: str, contract: StoredContract) -> None:
    """Keep a contract by its digest; keeping the same one again changes nothing."""
    insert_missing(tx, contracts, [to_row(project_id, contract, contracts)])


def find_contract(tx: Tx, project_id: str, digest: str) -> StoredContract | None:
    """Return a stored contract, or None."""
    return one(tx, StoredContract, mine(contracts, project_id).where(contracts.c.digest == digest))


def add_contact(tx: Tx, project_id: str, contact: TeamContact) -> None:
    """Remember that a test message arrived at a team's channel."""
    upsert(tx, project_id, team_contacts, contact)


def contacts(tx: Tx, project_id: str) -> list[TeamContact]:
    """Return the channels where a test message arrived."""
    return many(tx, TeamContact, mine(team_contacts, project_id))
