"""One filled home for all tests of pages: pages only read, so it can be shared."""

from collections.abc import Iterator

import pytest
from tests.unit.ui.filled_home import FilledHome

from thrive.domain.actor import local_actor
from thrive.operations import Context
from thrive.store.home import create_home


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilledHome]:
    """A home with three models, and a release that is held."""
    folder = tmp_path_factory.mktemp("filled")
    home = create_home(folder, "flights")
    made = FilledHome(Context(home, local_actor("ana"), folder=folder, operation="test"))
    made.held = made.hold_release()
    made.other_run_id = made.add_run()
    yield made
    home.close()
