"""From segments to Parquet: nothing lost, nothing doubled, gaps proven."""

import io
from pathlib import Path

import msgspec
import polars as pl
import pytest

from thrive.domain.errors import Refused, UsageError
from thrive.domain.prediction import SealedLog
from thrive.store.blobs import FolderBlobs
from thrive.store.eventlog import (
    Gap,
    SegmentState,
    SegmentWriter,
    Stretch,
    close_dead,
    confirm,
    covering,
    discard,
    gaps,
    row_ids,
    seal,
    segments,
)

TIME = 1_700_000_000_000_000


def decode(records) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": [name for record in records for name in row_ids(record.id, record.rows)],
            "text": [record.payload.decode() for record in records for _ in range(record.rows)],
        }
    )


@pytest.fixture
def blobs(tmp_path) -> FolderBlobs:
    return FolderBlobs(tmp_path / "blobs", durable=False)


@pytest.fixture
def log(tmp_path) -> Path:
    return tmp_path / "log"


def table(blobs: FolderBlobs, row: SealedLog) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(blobs.get(row.digest)))


def test_a_closed_segment_becomes_one_table_and_one_row(log, blobs):
    with SegmentWriter(log, 3) as writer:
        ids = [writer.append(1, TIME + number, f"p{number}".encode()) for number in (5, 2, 9)]
        last = writer.append(1, TIME, b"batch", rows=4)
    (segment,) = segments(log)
    (row,) = seal([Stretch(path=segment.path)], decode, blobs, host="here")
    assert table(blobs, row)["id"].to_list() == ids + row_ids(last, 4)
    assert (row.worker, row.segment, row.rows, row.host) == (3, 1, 7, "here")
    assert (row.min_time, row.max_time) == (TIME, TIME + 9)
    assert (row.first_id, row.last_id) == (ids[0], row_ids(last, 4)[3])
    assert (row.from_offset, row.to_offset, row.final) == (64, segment.end, True)
    assert gaps([row]) == []


def test_an_open_segment_is_sealed_piece_by_piece(log, blobs):
    with SegmentWriter(log, 1) as writer:
        first = writer.append(1, TIME, b"first")
        (path,) = [each.path for each in segments(log)]
        (one,) = seal([Stretch(path=path)], decode, blobs)
        assert not one.final
        assert gaps([one]) == [
            Gap(host="", worker=1, segment=1, from_offset=one.to_offset, unfinished=True)
        ]
        nothing_new = seal([Stretch(path=path, from_offset=one.to_offset)], decode, blobs)
        assert nothing_new == []
        second = writer.append(1, TIME, b"second")
    (two,) = seal([Stretch(path=path, from_offset=one.to_offset)], decode, blobs)
    assert [table(blobs, row)["id"].to_list() for row in (one, two)] == [[first], [second]]
    assert two.final
    assert gaps([two, one]) == []


def test_a_segment_without_records_still_gives_its_row(log, blobs):
    with SegmentWriter(log, 1, max_age=1) as writer:
        writer.append(1, TIME, b"x")
        writer.sync()  # rolls into a segment that stays empty
    rows = seal([Stretch(path=each.path) for each in segments(log)], decode, blobs)
    assert [(row.segment, row.rows, row.digest == "") for row in rows] == [
        (1, 1, False),
        (2, 0, True),
    ]
    empty = segments(log)[1]
    assert empty.state is SegmentState.CLOSED  # its row is not committed yet
    confirm(empty.path, rows[1].to_offset)
    discard(empty.path)
    assert gaps(rows) == []


def test_many_segments_share_one_file(log, blobs):
    ids = []
    for worker in range(5):
        with SegmentWriter(log, worker, segment_bytes=4096) as writer:
            ids += [writer.append(1, TIME, b"y" * 900) for _ in range(10)]
    rows = seal([Stretch(path=each.path) for each in segments(log)], decode, blobs)
    assert len(rows) == 15
    assert len({row.digest for row in rows}) == 1
    assert table(blobs, rows[0])["id"].to_list() == ids
    assert gaps(rows) == []


def test_sealing_again_gives_the_same_blob(log, blobs):
    with SegmentWriter(log, 1) as writer:
        first = [writer.append(1, TIME, b"same") for _ in range(50)]
        stretch = Stretch(path=segments(log)[0].path)
        (once,) = seal([stretch], decode, blobs)
        writer.append(1, TIME, b"after")
        (again,) = seal([Stretch(path=stretch.path, to_offset=once.to_offset)], decode, blobs)
    assert again.digest == once.digest
    assert (again.from_offset, again.to_offset) == (once.from_offset, once.to_offset)
    assert table(blobs, again)["id"].to_list() == first


def test_a_segment_is_deleted_only_when_all_of_it_is_confirmed(log, blobs):
    with SegmentWriter(log, 1) as writer:
        writer.append(1, TIME, b"one")
        path = segments(log)[0].path
        (row,) = seal([Stretch(path=path)], decode, blobs)
        confirm(path, row.to_offset)
        with pytest.raises(Refused, match="open end"):
            discard(path)
        writer.append(1, TIME, b"two")
    with pytest.raises(Refused, match="sealed to byte"):
        discard(path)
    (rest,) = seal([Stretch(path=path, from_offset=row.to_offset)], decode, blobs)
    confirm(path, rest.to_offset)
    confirm(path, row.to_offset)  # late news changes nothing
    assert segments(log)[0].state is SegmentState.SEALED
    discard(path)
    discard(path)
    assert segments(log) == []


def test_an_agent_killed_at_any_step_starts_again_without_loss_or_double(log, blobs):
    """Play the agent, dying after each step; the committed rows are what counts."""
    with SegmentWriter(log, 1, segment_bytes=4096) as writer:
        ids = [writer.append(1, TIME, b"z" * 700) for _ in range(20)]
    committed: dict[tuple[int, int, int], SealedLog] = {}

    def agent(steps: int) -> None:
        close_dead(log)
        for segment in segments(log):
            done = [row for row in committed.values() if row.segment == segment.segment]
            start = max((row.to_offset for row in done), default=64)
            for row in seal([Stretch(path=segment.path, from_offset=start)], decode, blobs):
                if steps <= 1:
                    return
                if row.to_offset > start or not done:
                    committed[row.worker, row.segment, row.from_offset] = row
            if steps <= 2:
                return
            confirm(segment.path, segment.end)
            if steps <= 3:
                return
            discard(segment.path)
            steps -= 3

    for steps in [1, 2, 3, 4, 5, 6, 7, 1, 2, 100]:
        agent(steps)
    rows = sorted(committed.values(), key=lambda row: row.first_id)
    assert [name for row in rows for name in table(blobs, row)["id"]] == ids
    assert gaps(rows) == []
    assert segments(log) == []


def stretch(segment: int, start: int, end: int, *, final: bool = False) -> SealedLog:
    return SealedLog(
        worker=1,
        segment=segment,
        from_offset=start,
        to_offset=end,
        digest="",
        rows=0,
        min_time=0,
        max_time=0,
        host="",
        sealed_at=0,
        final=final,
    )


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], []),
        ([stretch(4, 64, 800, final=True)], []),
        ([stretch(4, 80, 800, final=True)], [(4, 64, 80, False)]),
        ([stretch(4, 64, 800), stretch(4, 900, 950, final=True)], [(4, 800, 900, False)]),
        ([stretch(4, 64, 800), stretch(4, 64, 700), stretch(4, 700, 900, final=True)], []),
        ([stretch(4, 64, 800), stretch(5, 64, 99, final=True)], [(4, 800, None, False)]),
        ([stretch(4, 64, 800, final=True), stretch(5, 64, 96)], [(5, 96, None, True)]),
        (
            [stretch(4, 64, 800, final=True), stretch(7, 64, 96, final=True)],
            [(5, 64, None, False), (6, 64, None, False)],
        ),
    ],
)
def test_gaps_are_proven_by_the_rows_alone(rows, expected):
    found = gaps(reversed(rows))
    assert [
        (gap.segment, gap.from_offset, gap.to_offset, gap.unfinished) for gap in found
    ] == expected


def test_hosts_are_counted_apart():
    rows = [stretch(1, 64, 99, final=True), stretch(3, 64, 99, final=True)]
    other = msgspec.structs.replace(rows[1], host="other")
    assert gaps([rows[0], other]) == []


def test_the_row_that_holds_a_prediction_is_found_by_its_address(log, blobs):
    with SegmentWriter(log, 1, segment_bytes=4096) as writer:
        ids = [writer.append(1, TIME, b"q" * 700) for _ in range(20)]
    rows = seal([Stretch(path=each.path) for each in segments(log)], decode, blobs)
    for name in ids:
        row = covering(rows, name)
        assert row
        assert row.first_id <= name <= row.last_id
    assert covering(rows[1:], ids[0]) is None
    with pytest.raises(UsageError):
        covering(rows, "nonsense")
