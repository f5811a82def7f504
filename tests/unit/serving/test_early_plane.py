"""A host's first questions, asked without SQLAlchemy, have the answers they have with it."""

import json

import msgspec
import pytest
import sqlalchemy as sa
from tests.serving_home import (
    CONTRACT,
    MODEL,
    add_version,
    constant_package,
    live,
    make_home,
    route,
)

from thrive.domain.clock import ClockMode, ClockState
from thrive.domain.features import FeatureSpec, SpecView
from thrive.domain.model import Model, VersionSeal
from thrive.serving.early_plane import EarlyControlPlane
from thrive.serving.home_plane import LocalControlPlane
from thrive.store import models, projects, worker_numbers
from thrive.store.place import FOLDER
from thrive.store.quick_home import QuickHome

CHOSEN = CONTRACT.replace("[model.delay.release]", "[model.delay.release]\noverride = true")
VIEW = SpecView(name="weather", digest="d" * 64, keys=[], columns=[])


@pytest.fixture
def home(tmp_path):
    home = make_home(tmp_path, CHOSEN)
    yield home
    home.close()


def early(home):
    plane = EarlyControlPlane.of(home.folder, lambda: LocalControlPlane(home))
    assert plane is not None
    return plane


def same_routes(home):
    quick, whole = early(home).routing(0.0), LocalControlPlane(home).routing(0.0)
    assert quick == whole
    return quick


def test_the_first_routes_are_those_of_the_repositories(home):
    assert same_routes(home).models[MODEL].revision == 0
    seal = VersionSeal(key="k" * 64, at=1, signature="s" * 128)
    first = add_version(home, constant_package(0.3), contract=CHOSEN)
    second = add_version(
        home, constant_package(0.4), contract=CHOSEN, features=FeatureSpec(views=[VIEW])
    )
    sealed = msgspec.structs.replace(live(first, 0.75), seal=seal)
    route(home, sealed, live(second, 0.25), fallback=0.25)
    with home.write() as tx:
        other = Model(name="another", owner="desk", purpose="p", created_at=1)
        models.save(tx, home.project_id, other)
    found = same_routes(home)
    assert list(found.models) == ["another", MODEL]
    served = found.models[MODEL]
    assert served.variants == [sealed, live(second, 0.25)]
    assert served.features == {"2": FeatureSpec(views=[VIEW])}
    assert (served.fallback, served.override, served.entity) == (0.25, True, ["flight_id"])
    for fallback in ("late", "0.5", 1, None):
        route(home, fallback=fallback)
        assert same_routes(home).models[MODEL].entity == ["flight_id"]
    with home.write() as tx:
        state = ClockState(mode=ClockMode.REPLAY, replay_now=12345)
        projects.set_clock(tx, home.project_id, state)
    assert same_routes(home).now == 12345


def test_the_whole_control_plane_goes_on_where_the_quick_one_began(home):
    version = add_version(home, constant_package(0.3), contract=CHOSEN)
    route(home, live(version))
    asked = []

    def whole():
        asked.append(True)
        return LocalControlPlane(home)

    plane = EarlyControlPlane.of(home.folder, whole)
    numbers = plane.worker_numbers("a" * 32, 2)
    first = plane.routing(0.0)
    assert plane.fetch(version.package) == home.blobs.get(version.package)
    assert not asked
    assert plane.routing(0.0) == first
    assert plane.routing(0.0) is None
    assert plane.worker_numbers("a" * 32, 3)[:2] == numbers
    assert plane.fetch(version.package) == home.blobs.get(version.package)
    assert asked == [True]


def test_numbers_are_taken_once_whoever_asks(home):
    assert early(home).worker_numbers("a" * 32, 2) == [0, 1]
    with home.write() as tx:
        assert worker_numbers.take(tx, home.project_id, "a" * 32, 2) == [0, 1]
        assert worker_numbers.take(tx, home.project_id, "b" * 32, 1) == [2]
        assert worker_numbers.taken_by(tx, home.project_id, "a" * 32) == {0, 1}
    assert early(home).worker_numbers("c" * 32, 1) == [3]
    assert early(home).worker_numbers("b" * 32, 2) == [2, 4]


def test_a_home_that_is_not_as_expected_is_left_to_the_repositories(home, tmp_path):
    def is_quick(folder):
        with QuickHome.opened(folder) as found:
            return found is not None

    assert is_quick(home.folder)
    assert not is_quick(tmp_path / "nowhere" / FOLDER)
    record = home.folder / "home.json"
    said = json.loads(record.read_text())
    for other in ({"database": "postgresql://host/db"}, {"format": 99}, {"name": "else"}):
        record.write_text(json.dumps(said | other))
        assert not is_quick(home.folder)
    record.write_text(json.dumps(said))
    with home.write() as tx:
        tx.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    assert not is_quick(home.folder)
    home.close()
    (home.folder / "thrive.db").write_bytes(b"no database at all" * 100)
    assert EarlyControlPlane.of(home.folder, lambda: LocalControlPlane(home)) is None
