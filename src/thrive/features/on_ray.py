"""The as-of join of tables larger than one machine: parts of keys, each joined on some node.

A row finds its match among the rows of its own key, so both sides of a view are cut by the hash of
their keys, and part meets part: no node sees all of a view.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np

from thrive.domain.features import FeatureColumn, ViewDefinition
from thrive.features.in_memory import join_in_memory
from thrive.features.rows import ROW, STATUS, TIME, NormalRows, cells_of
from thrive.features.streamed import open_scratch, quoted, quoted_name

if TYPE_CHECKING:
    import polars as pl

PART_CELLS = 20_000_000
"""Cells of both sides that one node is given at a time: about 160 MB."""
_PART = "_part"
_NEVER = np.iinfo(np.int64).min


class Spreads(Protocol):
    """What calls a function on many parts: a cluster, as `engines.ray.spread` connects to one."""

    def spread(
        self, function: Callable[..., Any], parts: Iterable[tuple[Any, ...]]
    ) -> Iterator[Any]:
        """Yield what the function returns for each part, in their order."""
        ...


def join_on_ray(
    entities: Any,
    names: list[str],
    views: Sequence[NormalRows],
    folder: Path,
    cluster: Spreads,
    *,
    status: bool,
) -> Path:
    """Write the rows of `entities`, in their order, with the columns of all views; return the file.

    Args:
        entities: a lazy frame of the rows with their place `_row` and their moment `_time`.
        names: the columns of it that are kept.
        views: the views' rows.
        folder: for the file and all intermediate ones, on this machine.
        cluster: where parts are joined.
        status: add `VIEW_status` for each view.

    Raises:
        InfrastructureError: the disk is full, or the cluster is gone.
    """
    asked = folder / "entities.parquet"
    entities.sink_parquet(asked, compression="lz4")
    for number, view in enumerate(views):
        _join_one(asked, view, folder / f"view-{number}", cluster, status=status)
    out = folder / "rows.parquet"
    with open_scratch(folder) as connection:
        query = _together(asked, names, views, folder, status=status)
        connection.execute(f"copy ({query}) to {quoted(out)} (format parquet, compression lz4)")
    return out


def _join_one(
    asked: Path, view: NormalRows, folder: Path, cluster: Spreads, *, status: bool
) -> None:
    """Write to `joined` the columns of one view for all rows, with the rows' places."""
    import polars as pl

    (folder / "joined").mkdir(parents=True)
    view.frame.sink_parquet(folder / "rows.parquet", compression="lz4")
    keys = [key.name for key in view.keys]
    columns = [*map(quoted_name, keys), TIME, ROW]
    wanted = cells_of(*map(pl.scan_parquet, (asked, folder / "rows.parquet"))) // PART_CELLS + 1
    with open_scratch(folder.parent) as connection:
        _cut(connection, asked, ", ".join(columns), keys, folder / "asked", wanted)
        _cut(connection, folder / "rows.parquet", "*", keys, folder / "known", wanted)
    made = cluster.spread(_join_part, _pairs(folder, view, wanted, status=status))
    for number, part in enumerate(made):
        part.write_parquet(folder / "joined" / f"{number}.parquet", compression="lz4")


def _cut(
    connection: Any, file: Path, columns: str, keys: list[str], folder: Path, parts: int
) -> None:
    """Write a file in parts by the hash of its keys: as text, because both sides may differ."""
    of = ", ".join(f"{quoted_name(key)}::varchar" for key in keys)
    part = f"hash({of}) % {parts} as {_PART}"
    connection.execute(
        f"copy (select {columns}, {part} from read_parquet({quoted(file)})) "
        f"to {quoted(folder)} (format parquet, compression lz4, partition_by ({_PART}))"
    )


def _pairs(
    folder: Path, view: NormalRows, parts: int, *, status: bool
) -> Iterator[tuple[Any, ...]]:
    """Yield what each call of `_join_part` takes; parts that nobody asks about are left out."""
    import polars as pl

    said = msgspec.json.encode((view.definition, view.keys, view.columns))
    for number in range(parts):
        place = f"{_PART}={number}"
        if not (folder / "asked" / place).exists():
            continue
        asked = pl.read_parquet(folder / "asked" / place, hive_partitioning=False)
        if (folder / "known" / place).exists():
            known = pl.read_parquet(folder / "known" / place, hive_partitioning=False)
        else:
            known = pl.read_parquet(folder / "rows.parquet", n_rows=0)
        yield asked, known, said, status


def _join_part(
    asked: "pl.DataFrame",
    known: "pl.DataFrame",
    said: bytes,
    status: bool,
) -> "pl.DataFrame":
    """Return the columns of a view for some rows, with their places; runs on a node."""
    import polars as pl

    definition, keys, columns = msgspec.json.decode(
        said, type=tuple[ViewDefinition, list[FeatureColumn], list[FeatureColumn]]
    )
    ordered = known.sort(pl.col(ROW))
    view = NormalRows(definition=definition, frame=ordered.lazy(), keys=keys, columns=columns)
    moments = asked[TIME].fill_null(_NEVER).to_numpy()
    joined = join_in_memory(asked.drop(TIME), moments, [view], status=status)
    return joined.drop(key.name for key in keys)


def _together(
    asked: Path, names: list[str], views: Sequence[NormalRows], folder: Path, *, status: bool
) -> str:
    chosen = [f"s.{quoted_name(name)}" for name in names]
    joins: list[str] = []
    for number, view in enumerate(views):
        added = [column.name for column in view.columns]
        added += [view.definition.name + STATUS] if status else []
        chosen += [f"v{number}.{quoted_name(name)}" for name in added]
        files = quoted(folder / f"view-{number}" / "joined" / "*.parquet")
        joins.append(f"join read_parquet({files}) v{number} on v{number}.{ROW} = s.{ROW}")
    file = f"read_parquet({quoted(asked)})"
    return f"select {', '.join(chosen)} from {file} s {' '.join(joins)} order by s.{ROW}"
