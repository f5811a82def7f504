"""A project folder with a contract and one CSV file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from thrive.data.operations import add
from thrive.domain.actor import local_user
from thrive.domain.dataset import AddedVersion
from thrive.domain.duty import DataGrant
from thrive.domain.identifiers import new_id
from thrive.operations import Context
from thrive.store import oversight

CONTRACT = """\
contract = 1

[data.trips]
source = "trips.csv"
owner = "riders"
why = "Trips, to learn how long they take."
personal = { rider = "name", minutes = "none" }
checks = ["unique(id)", "minutes between 0 and 100", "not_null(id)", "volume(1, 10)"]
"""
ROWS = ["1,ann,10.5,2024-01-01T08:00:00Z", "2,bob,NA,2024-01-02T08:00:00Z", "3,eve,20,"]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write trips.csv with these rows."""

    def written(*rows: str, name: str = "trips.csv") -> Path:
        path = tmp_path / name
        path.write_text("\n".join(["id,rider,minutes,at", *rows]) + "\n")
        return path

    return written


@pytest.fixture
def project(context: Context, tmp_path: Path, write: Callable[..., Path]) -> Context:
    """A context whose folder has the contract and the file, and whose people may read all of it."""
    (tmp_path / "thrive.toml").write_text(CONTRACT)
    with context.home.write() as tx:
        for reader in (context.actor.name, local_user().name):
            grant = DataGrant(
                grant_id=new_id(),
                dataset="trips",
                columns=[],
                reader=reader,
                purpose="tests",
                reason="rows are compared",
                actor=context.actor.name,
                given_at=0,
                expires_at=1 << 62,
            )
            oversight.add_grant(tx, context.project_id, grant)
    write(*ROWS)
    return context


@pytest.fixture
def added(project: Context) -> AddedVersion:
    """The first version of trips."""
    return add(project, name="trips")
