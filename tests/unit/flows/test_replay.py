"""A replay that goes on brings what it has not brought before, and nothing twice."""

import polars as pl
import pytest
from tests.streams import Stream

from thrive.domain.clock import DAY, HOUR
from thrive.flows.replay import days
from thrive.flows.replay.days import Replay
from thrive.flows.replay.feed import Feed
from thrive.flows.replay.traffic import Columns, Traffic
from thrive.store import predictions


class Nobody:
    """A caller for a stretch without requests."""

    def wait_for_revision(self, revision):
        assert revision == 1

    def close(self):
        pass


@pytest.fixture
def stream(context):
    return Stream(context, rows=20)


def test_an_outcome_is_brought_once_however_often_a_replay_starts(
    stream, context, tmp_path, monkeypatch
):
    frame = stream.frame(stream.day)
    ids = stream.serve(frame)
    recorded = frame.select("id", asked="_time", late="_label", known=pl.col("_time") + DAY)
    recorded.write_parquet(tmp_path / "traffic.parquet")
    columns = Columns(key="id", time="asked", outcome="late", known="known")
    traffic = Traffic(tmp_path / "traffic.parquet", columns)
    brought = []

    def counted(ctx, batch):
        brought.append(len(batch))
        return days_add(ctx, batch)

    days_add = days.add_outcomes
    monkeypatch.setattr(days, "add_outcomes", counted)
    stream.advance()
    for hours in (12, 12, 27):
        until = stream.start + DAY + hours * HOUR
        feed = Feed(context, stream.contract.contract, "m", None)
        Replay(context, "m", traffic, feed, Nobody(), until).run()
    half = frame.filter(pl.col("_time") <= stream.start + 12 * HOUR).height
    assert sum(brought) == len(ids) > half > 0
    with context.read() as tx:
        told = predictions.told_by(
            tx, context.project_id, "replay", first_id=ids[0], last_id=ids[-1]
        )
        assert told == set(ids)
        assert (
            predictions.told_by(tx, context.project_id, "desk", first_id=ids[0], last_id=ids[-1])
            == set()
        )
