"""What the manifest rows of sealed stretches prove."""

from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise

import msgspec
from msgspec.structs import replace

from thrive.domain.prediction import SealedLog
from thrive.store.eventlog.layout import HEADER_SIZE
from thrive.store.eventlog.prediction_id import parse_prediction_id


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch that no manifest row holds.

    Attributes:
        host: where the worker ran.
        worker: number of the worker.
        segment: number of its segment.
        from_offset: first byte that is missing.
        to_offset: byte at which rows go on, or None up to the end of the segment.
        unfinished: it is the end of the worker's last segment, which may still be written.
    """

    host: str
    worker: int
    segment: int
    from_offset: int = HEADER_SIZE
    to_offset: int | None = None
    unfinished: bool = False


def gaps(manifests: Iterable[SealedLog]) -> list[Gap]:
    """Return what is missing between the first and the last manifest row of each worker.

    Rows may come in any order and may overlap. Segments before a worker's first row are not
    asked for: retention may have removed them.
    """
    ordered = sorted(manifests, key=lambda row: (*_writer(row), row.segment, row.from_offset))
    return [gap for _, rows in groupby(ordered, key=_writer) for gap in _gaps_of_worker(list(rows))]


def covering(manifests: Iterable[SealedLog], prediction_id: str) -> SealedLog | None:
    """Return the manifest row whose stretch holds the prediction, or None.

    Raises:
        UsageError: it is not a prediction id.
    """
    wanted = parse_prediction_id(prediction_id)
    for row in manifests:
        same = row.worker == wanted.worker and row.segment == wanted.segment
        if same and row.from_offset <= wanted.offset < row.to_offset:
            return row
    return None


def _writer(row: SealedLog) -> tuple[str, int]:
    return row.host, row.worker


def _gaps_of_worker(rows: list[SealedLog]) -> Iterator[Gap]:
    host, worker = _writer(rows[0])
    numbers = sorted({row.segment for row in rows})
    missing = (number for a, b in pairwise(numbers) for number in range(a + 1, b))
    found = [Gap(host=host, worker=worker, segment=number) for number in missing]
    for number, group in groupby(rows, key=lambda row: row.segment):
        found += _gaps_of_segment(list(group), last=number == numbers[-1])
    yield from sorted(found, key=lambda gap: (gap.segment, gap.from_offset))


def _gaps_of_segment(rows: list[SealedLog], *, last: bool) -> Iterator[Gap]:
    whole = Gap(host=rows[0].host, worker=rows[0].worker, segment=rows[0].segment)
    reached = HEADER_SIZE
    for row in rows:
        if row.from_offset > reached:
            yield replace(whole, from_offset=reached, to_offset=row.from_offset)
        reached = max(reached, row.to_offset)
    if not any(row.final for row in rows):
        yield replace(whole, from_offset=reached, unfinished=last)
