"""Frames from Python become versions, and versions frames."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

import thrive
from thrive.domain.errors import NotFound, UsageError
from thrive.flows.data_show import show

FRAME = pl.DataFrame(
    {
        "id": [1, 2, None],
        "city": ["rome", None, "oslo"],
        "day": [date(2024, 1, d) for d in (1, 2, 3)],
    }
)


@pytest.fixture
def here(project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return project


def test_a_frame_becomes_a_version_and_comes_back(here):
    added = thrive.data.add(FRAME, name="cities", owner="maps", why="Cities we know.")
    assert (added.version, added.is_new, added.rows) == (1, True, 3)
    assert thrive.data.load("cities").equals(FRAME)
    assert not thrive.data.add(FRAME.lazy(), name="cities").is_new
    view = show(here, "cities")
    assert (view.source, view.owner, view.why) == ("memory", "maps", "Cities we know.")


def test_arrow_and_pandas(here):
    pa = pytest.importorskip("pyarrow")
    first = thrive.data.add(pa.table({"id": [1, 2], "city": ["rome", None]}), name="a")
    assert thrive.data.load("a", form="arrow").column_names == ["id", "city"]
    assert first.rows == 2


def test_times_of_pandas_with_a_zone_are_times_in_utc(here):
    pd = pytest.importorskip("pandas")
    moments = pd.to_datetime(["2026-03-29T00:30", None, "2026-03-29T03:30"])
    thrive.data.add(pd.DataFrame({"at": moments.tz_localize("Europe/Berlin")}), name="zoned")
    at = thrive.data.load("zoned")["at"]
    assert at.dtype == pl.Datetime("ns", "UTC") or at.dtype == pl.Datetime("us", "UTC")
    assert [each and each.hour for each in at] == [23, None, 1]


def test_a_pandas_frame_needs_no_arrow(here):
    pd = pytest.importorskip("pandas")
    made = pd.DataFrame(
        {"id": [1, 2], "city": ["rome", None], "at": pd.to_datetime(["2024-01-01", None])}
    )
    thrive.data.add(made, name="p")
    assert thrive.data.load("p")["city"].to_list() == ["rome", None]
    assert thrive.data.load("p", form="pandas").shape == (2, 3)


def test_the_files_of_a_version(here, tmp_path):
    thrive.data.add("trips.csv", name="trips")
    folder = thrive.data.load("trips", form="path")
    assert (folder / "trips.csv").read_bytes() == (tmp_path / "trips.csv").read_bytes()
    assert thrive.data.load("trips", form="path") == folder
    assert isinstance(folder, Path)


def test_some_columns(here):
    thrive.data.add(FRAME, name="cities")
    assert thrive.data.load("cities", columns=["day", "id"]).columns == ["day", "id"]
    with pytest.raises(UsageError, match="no column 'town'"):
        thrive.data.load("cities", columns=["town"])
    with pytest.raises(UsageError, match="no form of data"):
        thrive.data.load("cities", form="spark")


def test_what_is_no_table_is_said(here, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="A list is no table"):
        thrive.data.add([1, 2], name="x")
    with pytest.raises(UsageError, match="no name of its own"):
        thrive.data.add(FRAME)
    (tmp_path / "thrive.toml").unlink()
    with pytest.raises(NotFound, match="There is no thrive"):
        thrive.data.add(FRAME, name="x")
