"""Frames in and out: tables of Polars, Arrow and pandas become versions, and versions such tables.

`add` is the Python door of `thrive data add`, `load` and `scan` read what is there; what they work
with is imported when they are called. `given` turns rows into what a caller asked for.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from thrive.domain.errors import Refused, UsageError

if TYPE_CHECKING:
    import polars as pl

    from thrive.domain.dataset import AddedVersion

Form = Literal["polars", "arrow", "pandas", "path"]
"""What `thrive.data.load` returns: a frame, a table, or the folder of a version's files."""


def add(source: Any, *, name: str = "", owner: str = "", why: str = "") -> "AddedVersion":
    """Add a version of a dataset, from a frame in memory or from a source as the command takes it.

    Args:
        source: a Polars frame (lazy too), a pandas frame, an Arrow table, or a path or address.
        name: the dataset; a frame needs one.
        owner: the team that answers for the data.
        why: what the data holds, and what it is kept for.

    Raises:
        UsageError: a frame has no name, or is none that is known.
        NotFound: there is no project here.
        Refused: called inside a run, which records what it makes itself.

    Examples:
        >>> thrive.data.add(frame, name="trips", why="Trips of today")  # doctest: +SKIP
    """
    from tempfile import TemporaryDirectory

    from thrive.data import storing
    from thrive.data.reading import project_here
    from thrive.engines import channel
    from thrive.store.sources.frames import as_polars
    from thrive.store.sources.slices import write_rows

    if channel.current() is not None:
        raise Refused("A run does not add data.", "return it from a step, or add it outside")
    with project_here("data add") as ctx:
        if isinstance(source, str | Path):
            return storing.add(ctx, str(source), name=name, owner=owner, why=why)
        if not name:
            raise UsageError("A frame has no name of its own.", 'add(frame, name="...")')
        import polars as pl

        rows = source if isinstance(source, pl.LazyFrame) else as_polars(source)
        with TemporaryDirectory(dir=ctx.home.temporary_folder, prefix="frame-") as folder:
            path = write_rows(rows, Path(folder))
            return storing.add_rows(ctx, path, name=name, owner=owner, why=why)


def load(
    name: str,
    version: int | None = None,
    *,
    columns: Sequence[str] | None = None,
    form: Form = "polars",
) -> Any:
    """Return a dataset's rows, inside a run as well as outside of one.

    Inside a run the version becomes part of the run's lineage, with the columns that were named.
    Columns that hold personal data are pseudonyms, equal for equal values, unless a grant lets you
    read them (`thrive grants give`); each reading of them is logged.

    Args:
        name: the dataset, also as `name@version`.
        version: the version's number; without one, what `thrive.lock` pins, else the newest.
        columns: only these.
        form: `polars`, `arrow`, `pandas`, or `path`: the folder that holds the version's files.

    Raises:
        NotFound: there is no such version.
        Refused: it failed a check and nobody decided that it may be trained on, or its files
            are asked for and hold personal data that you may not read.
        UsageError: there is no such column or form, or a library is missing.

    Examples:
        >>> flights = thrive.data.load("flights")  # doctest: +SKIP
        >>> thrive.data.load("flights", columns=["origin"], form="pandas")  # doctest: +SKIP
    """
    from thrive.data.reading import folder_of, scan_rows

    if form == "path":
        return folder_of(name, version)
    frame = scan_rows(name, version, columns)
    if columns is not None:
        known = frame.collect_schema()
        missing = next((column for column in columns if column not in known), None)
        if missing is not None:
            raise UsageError(f"{name} has no column {missing!r}.", f"thrive data show {name}")
        frame = frame.select(list(columns))
    return given(frame, form)


def scan(name: str, version: int | None = None) -> "pl.LazyFrame":
    """Return a dataset's rows without reading them yet; like `load` in all else.

    Inside a run the columns that a query really needs become part of the run's lineage.
    """
    from thrive.data.reading import scan_rows

    return scan_rows(name, version)


def given(frame: "pl.LazyFrame", form: Form) -> Any:
    """Return rows in the form that was asked for: `polars`, `arrow` or `pandas`.

    Raises:
        UsageError: the form is unknown, or its library is not installed.
    """
    try:
        match form:
            case "polars":
                return frame.collect()
            case "arrow":
                return frame.collect().to_arrow()
            case "pandas":
                return frame.collect().to_pandas()
            case _:
                raise UsageError(f"{form!r} is no form of data.", "polars, arrow, pandas or path")
    except ImportError as error:
        raise UsageError(
            f"{error.name} is not installed.", f"pip install {error.name} pyarrow"
        ) from None
