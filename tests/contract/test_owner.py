"""An object store belongs to one database: a clean-up deletes what that one does not know."""

from pathlib import Path

import pytest

from thrive.data.cleaning import gc
from thrive.domain.actor import local_actor
from thrive.domain.errors import Conflict
from thrive.operations import Context
from thrive.store.database import Database
from thrive.store.home import connect_home
from thrive.store.owner import RECORD
from thrive.store.place import FOLDER
from thrive.store.projects import every


@pytest.fixture(params=["folder", "S3"])
def objects(request, tmp_path: Path, bucket: str) -> str:
    return bucket if request.param == "S3" else str(tmp_path / "objects")


def test_a_second_database_is_refused_before_it_can_delete_anything(
    objects, tmp_path, postgresql, migrated
):
    addresses = [postgresql.new_database(template=migrated) for _ in range(2)]
    first = connect_home(addresses[0], objects, "flights", tmp_path / "a" / FOLDER, create=True)
    kept = first.blobs.put(b"what the first one needs")
    beside = connect_home(addresses[0], objects, "delays", tmp_path / "b" / FOLDER, create=True)
    beside.close()
    with pytest.raises(Conflict, match="the project 'flights'"):
        connect_home(addresses[1], objects, "other", tmp_path / "c" / FOLDER, create=True)
    database = Database(addresses[1])
    with database.read() as tx:
        assert every(tx) == []
    database.close()
    assert first.blobs.get(kept) == b"what the first one needs"
    first.close()
    for address in addresses:
        postgresql.drop(address)


def test_a_clean_up_asks_whose_the_objects_are(objects, tmp_path, postgresql, migrated):
    """Homes that were made before the record was: the one that cleans up first has the place."""
    addresses = [postgresql.new_database(template=migrated) for _ in range(2)]
    homes = []
    for number, address in enumerate(addresses):
        folder = tmp_path / str(number)
        home = connect_home(address, objects, f"p{number}", folder / FOLDER, create=True)
        home.blobs.remove_record(RECORD)
        homes.append(Context(home, local_actor("tester"), folder=folder, operation="test"))
    kept = homes[0].home.blobs.put(b"unused here, so far")
    assert gc(homes[1], older_than="1 day").removed == 0
    with pytest.raises(Conflict, match="the project 'p1'"):
        gc(homes[0], older_than="0s")
    assert homes[0].home.blobs.has(kept)
    for context, address in zip(homes, addresses, strict=True):
        context.home.close()
        postgresql.drop(address)
