"""Batch scoring as an operation: the model's version from serving, the table from any source."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec

from thrive.data.adding import reach_of
from thrive.domain.actor import RELEASERS
from thrive.flows.order import EngineName
from thrive.operations import Context, Kind, PathText, operation
from thrive.serving.scoring import Scored, Spreads, score_table
from thrive.settings import read_settings
from thrive.store.eventlog.prediction_id import MAX_ROWS

RowsPerPart = Annotated[int, msgspec.Meta(ge=1, le=MAX_ROWS)]


@operation("predictions score", kind=Kind.CLIENT, role=RELEASERS, writes=True)
def predictions_score(
    ctx: Context,
    model: str,
    source: PathText,
    output: Path,
    *,
    rows: RowsPerPart = 20_000,
    engine: EngineName = EngineName.LOCAL,
    address: str = "",
) -> Scored:
    """Score a table into a folder of Parquet files, part by part; the same command goes on.

    The output has the columns of the input, and prediction_id, score, decision and error. Every
    prediction is logged as those over HTTP are, so outcomes can be told and monitors look at it.

    Args:
        model: NAME for the version in production, or NAME@VERSION.
        source: a file, a folder, a glob, a URL, a Delta table or a query, as `thrive data add`
            takes it.
        output: the folder to write; a new one, or that of a scoring that was cut short.
        rows: how many rows are in memory, and in a file, at a time.
        engine: local, or ray: the model answers on the machines of a cluster.
        address: of the Ray cluster, ray://HOST:10001 or HOST:6379.

    Examples:
        thrive predictions score flight-delay data/today.parquet scored
        thrive predictions score flight-delay@2 "data/2013-*.csv" scored --rows 50000
        thrive predictions score flight-delay backlog/ scored --engine ray
    """
    with _cluster(engine, address) as cluster:
        return score_table(
            ctx, model, source, output, reach=reach_of(ctx), rows_per_part=rows, cluster=cluster
        )


@contextmanager
def _cluster(engine: EngineName, address: str) -> Generator[Spreads | None]:
    if engine is EngineName.LOCAL:
        yield None
        return
    from thrive.engines.ray.spread import connected  # an extra

    with connected(address or read_settings().ray_address or "auto") as cluster:
        yield cluster
