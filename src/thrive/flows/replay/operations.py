"""What a user calls to replay recorded traffic."""

from pathlib import Path

from thrive.contract.parse import load
from thrive.domain.actor import KEEPERS
from thrive.domain.clock import parse_time
from thrive.flows.replay.caller import Caller
from thrive.flows.replay.days import (
    Replay,
    ReplayReport,
    key_column,
    refuse_real_clock,
    traffic_path,
)
from thrive.flows.replay.feed import Feed
from thrive.flows.replay.traffic import Columns, Traffic, parse_fault
from thrive.operations import Context, Kind, operation


@operation(
    "replays start",
    role=KEEPERS,
    kind=Kind.CLIENT,
    writes=True,
    next_hint="thrive status",
)
def start(
    context: Context,
    model: str,
    traffic: Path,
    *,
    until: str,
    time: str = "asked",
    outcome: str = "outcome",
    known: str = "known",
    key: str | None = None,
    url: str = "http://127.0.0.1:8100",
    singles: int = 0,
    fault: str | None = None,
) -> ReplayReport:
    """Replay recorded traffic through a serving host until a moment, or until an alert opens.

    The project's clock follows the traffic: windows close, releases advance and deadlines pass
    as they would have. The model's feature views are brought online with each hour, out of what
    their sources say was known by then. Called again, it goes on where the clock stands.

    Args:
        model: the model to ask.
        traffic: a Parquet file with one row a request.
        until: the moment to stop at, e.g. 2013-09-01.
        time: the column with the moment a row is asked.
        outcome: the column with what really happened; null where it never came.
        known: the column with the moment the outcome became known.
        key: the column that identifies a row; the contract's entity when not given.
        url: the serving host.
        singles: how many rows of the file are sent alone instead of with their hour.
        fault: an injected fault, labelled as such: COLUMNS@FROM..UNTIL arrive empty; a feature view
            named there gets no new rows.

    Examples:
        thrive replays start flight-delay traffic.parquet --until 2013-09-01 --outcome late
    """
    refuse_real_clock(context)
    parsed = load(context.local_folder())
    columns = Columns(
        key=key_column(parsed.contract, model, key), time=time, outcome=outcome, known=known
    )
    injected = parse_fault(fault) if fault else None
    with context.write(f"replay:{model}", until=until, fault=fault or ""):
        pass
    feed = Feed(context, parsed.contract, model, injected)
    path = traffic_path(context, traffic)
    recorded = Traffic(path, columns, injected, singles, feed.names)
    replay = Replay(context, model, recorded, feed, Caller(url, model), parse_time(until))
    return replay.run()
