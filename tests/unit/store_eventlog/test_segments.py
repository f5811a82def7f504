"""Records go in, come out, and are found by their ids."""

import ctypes
import mmap
import resource
import struct
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thrive.domain.errors import Conflict, Damaged, NotFound, SchemaTooNew, UsageError
from thrive.store.eventlog import (
    MAX_ROWS,
    EventLog,
    PredictionId,
    SegmentState,
    SegmentWriter,
    close_dead,
    confirm,
    discard,
    pages,
    parse_prediction_id,
    read_segment,
    row_ids,
    segments,
)

TIME = 1_700_000_000_123_456


@pytest.fixture
def writer(tmp_path):
    with SegmentWriter(tmp_path, 7, segment_bytes=1 << 16) as writer:
        yield writer


def everything(folder: Path) -> list:
    return [record for each in segments(folder) for record in read_segment(each.path)]


def test_records_come_back_as_they_went_in(writer, tmp_path):
    payloads = [b"", b"x", b"\x00" * 9, bytes(range(256)) * 3]
    ids = [
        writer.append(kind, TIME + kind, payload, rows=kind + 1)
        for kind, payload in enumerate(payloads)
    ]
    found = everything(tmp_path)
    assert [record.id for record in found] == ids
    assert [record.payload for record in found] == payloads
    assert [record.kind for record in found] == [0, 1, 2, 3]
    assert [record.time_us for record in found] == [TIME + kind for kind in range(4)]
    assert [record.rows for record in found] == [1, 2, 3, 4]


def test_many_records_at_once_are_as_if_one_after_the_other(writer, tmp_path):
    many = [(TIME + size, bytes(range(size)), size + 1) for size in (0, 1, 7, 8, 9, 200)]
    assert writer.append_all(3, many) is None  # there is no segment yet
    before = writer.append(1, TIME, b"before")
    ids = [before, *writer.append_all(3, many), writer.append(2, TIME, b"after")]
    found = everything(tmp_path)
    assert [record.id for record in found] == ids
    assert [EventLog(tmp_path).find(each).payload for each in ids[1:-1]] == [p for _, p, _ in many]
    assert [(each.time_us, each.payload, each.rows) for each in found[1:-1]] == many
    assert [each.kind for each in found] == [1, *[3] * 6, 2]
    for wrong in ((-1, b"", 1), (TIME, b"", 0)):
        with pytest.raises(UsageError):
            writer.append_all(3, [(TIME, b"good", 1), wrong])
    with pytest.raises(UsageError, match="not a kind"):
        writer.append_all(256, many)
    assert writer.append_all(3, [(TIME, b"p" * 30_000, 1)] * 3) is None  # it has no such room
    assert everything(tmp_path) == found


def test_a_full_segment_rolls_into_the_next(writer, tmp_path):
    ids = [writer.append(1, TIME, b"p" * 1000) for _ in range(200)]
    found = segments(tmp_path)
    assert [each.segment for each in found] == [1, 2, 3, 4]
    assert [each.state for each in found] == [SegmentState.CLOSED] * 3 + [SegmentState.OPEN]
    assert [record.id for record in everything(tmp_path)] == ids
    assert len(set(ids)) == 200


def test_files_are_allocated_not_sparse(writer, tmp_path):
    writer.append(1, TIME, b"one small record")
    (only,) = segments(tmp_path)
    assert only.path.stat().st_blocks * 512 >= 1 << 16
    assert only.path.stat().st_mode & 0o077 == 0


def test_a_record_larger_than_a_segment_gets_its_own(writer, tmp_path):
    big = b"b" * 300_000
    ids = [writer.append(1, TIME, b"small"), writer.append(1, TIME, big)]
    assert EventLog(tmp_path).find(ids[1]).payload == big
    assert [record.id for record in everything(tmp_path)] == ids


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((256, TIME, b""), "not a kind"),
        ((1, -1, b""), "no time"),
        ((1, 1 << 60, b""), "no time"),
        ((1, TIME, b"", 0), "0 rows"),
        ((1, TIME, b"", MAX_ROWS + 1), "65536 rows"),
    ],
)
def test_impossible_records_are_refused_and_harm_nothing(writer, tmp_path, arguments, message):
    before = writer.append(1, TIME, b"before")
    with pytest.raises(UsageError, match=message):
        writer.append(*arguments)
    after = writer.append(1, TIME, b"after")
    assert [record.id for record in everything(tmp_path)] == [before, after]


def test_a_record_no_segment_can_hold_is_refused(writer):
    with pytest.raises(UsageError, match="fewer rows"):
        writer.append(1, TIME, bytes(1 << 27))


def test_rows_have_ids_that_find_their_record(writer, tmp_path):
    base = writer.append(1, TIME, b"many", rows=3000)
    ids = row_ids(base, 3000)
    assert ids[0] == base
    assert len(set(ids)) == 3000
    log = EventLog(tmp_path)
    assert log.find(ids[2999]).id == base
    assert parse_prediction_id(ids[2999]).row == 2999
    with pytest.raises(NotFound):
        log.find(row_ids(base, 3001)[3000])


def test_find_says_no_for_what_never_was(writer, tmp_path):
    parts = parse_prediction_id(writer.append(1, TIME, b"here"))
    log = EventLog(tmp_path)
    wrong = [
        PredictionId(**{**as_dict(parts), **change})
        for change in (
            {"offset": parts.offset + 8},
            {"offset": 65528},
            {"offset": 1 << 26},
            {"time": parts.time + 1000},
            {"segment": 99},
            {"worker": 8},
        )
    ]
    for prediction in wrong:
        with pytest.raises(NotFound):
            log.find(str(prediction))
    with pytest.raises(UsageError, match="not a prediction id"):
        log.find("../../etc/passwd")


def as_dict(parts: PredictionId) -> dict:
    return {name: getattr(parts, name) for name in parts.__struct_fields__}


@given(
    time=st.integers(0, (1 << 44) - 1),
    worker=st.integers(0, (1 << 16) - 1),
    segment=st.integers(0, (1 << 28) - 1),
    offset=st.integers(0, (1 << 24) - 1),
    row=st.integers(0, MAX_ROWS),
)
def test_ids_say_what_they_are_made_of(time, worker, segment, offset, row):
    parts = PredictionId(
        time=time * 1000, worker=worker, segment=segment, offset=offset * 8, row=row
    )
    assert len(str(parts)) == 32
    assert parse_prediction_id(str(parts)) == parts


def test_ids_of_the_writer_are_those_of_the_documentation(writer, tmp_path):
    for _ in range(100):
        name = writer.append(1, TIME, b"p" * 999)
        parts = parse_prediction_id(name)
        assert str(parts) == name
        assert (parts.worker, parts.time) == (7, TIME // 1000 * 1000)
    assert name < writer.append(1, TIME + 1000, b"")


def test_one_worker_one_writer(writer, tmp_path):
    with pytest.raises(Conflict, match="worker 7"):
        SegmentWriter(tmp_path, 7)
    with SegmentWriter(tmp_path, 8) as other:
        other.append(1, TIME, b"another worker")


def test_segment_numbers_are_never_used_twice(tmp_path):
    for expected in (1, 2, 3):
        with SegmentWriter(tmp_path, 1) as writer:
            name = writer.append(1, TIME, b"")
        assert parse_prediction_id(name).segment == expected
        for each in segments(tmp_path):
            confirm(each.path, each.end)
            discard(each.path)


def test_a_number_its_writer_could_not_note_is_kept_all_the_same(tmp_path):
    note = tmp_path / "0001.worker"
    with SegmentWriter(tmp_path, 1) as writer:
        writer.append(1, TIME, b"")
    note.write_bytes(b"")  # died between naming the segment and noting its number
    with SegmentWriter(tmp_path, 1) as writer:
        assert parse_prediction_id(writer.append(1, TIME, b"")).segment == 2
    note.write_bytes(b"")
    for each in segments(tmp_path):
        confirm(each.path, each.end)
        discard(each.path)
    with SegmentWriter(tmp_path, 1) as writer:
        assert parse_prediction_id(writer.append(1, TIME, b"")).segment == 3


def test_threads_share_a_writer(writer, tmp_path):
    ids: list[list[str]] = [[] for _ in range(4)]

    def work(mine: list[str], number: int) -> None:
        mine += [writer.append(number, TIME, b"%d" % number * 100) for _ in range(500)]

    threads = [
        threading.Thread(target=work, args=(mine, number)) for number, mine in enumerate(ids)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    found = {record.id: record for record in everything(tmp_path)}
    assert set(found) == {name for mine in ids for name in mine}
    assert all(record.payload == b"%d" % record.kind * 100 for record in found.values())


def test_an_aged_segment_is_closed_without_a_new_request(tmp_path):
    with SegmentWriter(tmp_path, 1, max_age=1) as writer:
        writer.append(1, TIME, b"old")
        writer.sync()
        writer.sync()  # the fresh one has no records yet: it stays
        assert [each.state for each in segments(tmp_path)] == [
            SegmentState.CLOSED,
            SegmentState.OPEN,
        ]


def test_a_closed_writer_takes_nothing(tmp_path):
    writer = SegmentWriter(tmp_path, 1)
    writer.append(1, TIME, b"x")
    writer.close()
    writer.close()
    with pytest.raises(UsageError, match="closed"):
        writer.append(1, TIME, b"y")
    assert [each.state for each in segments(tmp_path)] == [SegmentState.CLOSED]
    assert close_dead(tmp_path) == []


@pytest.mark.parametrize("change", [{"worker": -1}, {"segment_bytes": 5000}, {"sync_every": 2}])
def test_impossible_writers_are_refused(tmp_path, change):
    with pytest.raises(UsageError):
        SegmentWriter(tmp_path, **{"worker": 1, **change})


def test_a_stranger_in_the_folder_is_left_alone_and_not_read(tmp_path):
    stranger = tmp_path / "notes.txt"
    stranger.write_text("not a segment")
    assert segments(tmp_path) == []
    assert segments(tmp_path / "absent") == []
    with pytest.raises(Damaged, match="notes"):
        list(read_segment(stranger))


def test_a_newer_format_is_refused(writer, tmp_path):
    import zlib

    writer.append(1, TIME, b"x")
    (only,) = segments(tmp_path)
    data = bytearray(only.path.read_bytes())
    struct.pack_into("<H", data, 8, 2)
    struct.pack_into("<I", data, 48, zlib.crc32(data[:24]))
    newer = tmp_path / "newer"
    newer.write_bytes(data)
    with pytest.raises(SchemaTooNew, match="format 2"):
        list(read_segment(newer))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux is asked for pages ahead")
def test_who_writes_much_does_not_wait_for_each_page(tmp_path):
    with mmap.mmap(-1, 1 << 16) as probe:
        here = ctypes.c_char.from_buffer(probe)
        able = pages._madvise()(ctypes.addressof(here), 1 << 16, pages._POPULATE_WRITE) == 0
        del here
    if not able:
        pytest.skip("this kernel does not make pages ready")
    payload = bytes(range(250)) * 16
    with SegmentWriter(tmp_path, 0, sync_every=1) as writer:
        for _ in range(500):
            writer.append(1, 1, payload)
        writer.sync()
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        for _ in range(500):
            writer.append(1, 1, payload)
        entered = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before
    assert entered < 250  # of 490 pages
    (segment,) = segments(tmp_path)
    assert [record.payload for record in read_segment(segment.path)] == [payload] * 1000
