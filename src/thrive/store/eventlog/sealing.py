"""From raw segments to Parquet blobs, and the end of a raw segment.

The order that loses and doubles nothing: `seal` puts a blob and returns manifest rows; the caller
commits them (unique by worker, segment and from_offset); `confirm` notes it in the segment;
`discard` deletes a segment that is closed and confirmed to its end. Killed in between, the next
agent starts again from the last committed `to_offset`.
"""

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from thrive.domain.clock import machine_now
from thrive.domain.errors import Refused
from thrive.domain.prediction import SealedLog
from thrive.store.disk import sync_folder
from thrive.store.eventlog import layout, sequence
from thrive.store.eventlog.prediction_id import row_ids
from thrive.store.eventlog.reader import Reading, Record, read_stretch

if TYPE_CHECKING:
    import polars as pl

    from thrive.store.blobs.port import BlobWriter


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a segment to seal.

    Attributes:
        path: the segment file.
        from_offset: the last committed `to_offset` of this segment, or its first record.
        to_offset: where to stop, or None for all that is there now.
    """

    path: Path
    from_offset: int = layout.HEADER_SIZE
    to_offset: int | None = None


def seal(
    stretches: Sequence[Stretch],
    decode: Callable[[list[Record]], "pl.DataFrame"],
    blobs: "BlobWriter",
    *,
    host: str = "",
) -> list[SealedLog]:
    """Put the records of all stretches into one Parquet blob; return a manifest row for each.

    Stretches of segments that are still open may be sealed. One with neither records nor losses
    gives a row only if its segment ended there, so that gaps stay provable.

    Args:
        stretches: at most one for a segment.
        decode: makes the table of one stretch's records; called once a stretch that has any.
        blobs: where the Parquet file goes.
        host: written into the manifest rows.

    Raises:
        NotFound: a segment is gone.
        Damaged: a file is not a segment.
        DiskFull: the blob found no room; nothing was kept.
    """
    readings = [
        (each, read_stretch(each.path, each.from_offset, each.to_offset)) for each in stretches
    ]
    worth = [(each, found) for each, found in readings if _says_something(each, found)]
    frames = {
        index: decode(found.records) for index, (_, found) in enumerate(worth) if found.records
    }
    digest = _put_parquet(list(frames.values()), blobs) if frames else ""
    now = machine_now()
    return [
        _manifest(
            stretch,
            found,
            digest=digest if index in frames else "",
            rows=frames[index].height if index in frames else 0,
            host=host,
            now=now,
        )
        for index, (stretch, found) in enumerate(worth)
    ]


def confirm(path: Path, to_offset: int) -> None:
    """Note in the segment that its manifest rows up to `to_offset` are committed."""
    handle = os.open(path, os.O_RDWR)
    try:
        header = layout.read_header(handle, path)
        if to_offset > header.sealed_to:
            os.pwrite(handle, to_offset.to_bytes(8, "little"), layout.SEALED_AT)
    finally:
        os.close(handle)


def discard(path: Path) -> None:
    """Delete a segment whose every record is confirmed; one that is gone is already deleted.

    Raises:
        Refused: it is still open, or a part of it was never confirmed.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        header = layout.read_header(handle, path)
    finally:
        os.close(handle)
    if not header.end or header.sealed_to < header.end:
        raise Refused(
            f"{path} holds predictions that no manifest row was confirmed for: sealed to byte "
            f"{header.sealed_to}, written to {header.end or 'an open end'}.",
            "seal it, commit the manifest row, confirm it, then discard",
        )
    sequence.keep(path.parent, header.worker, header.segment)
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def _says_something(stretch: Stretch, found: Reading) -> bool:
    moved = found.end > stretch.from_offset
    return moved or _is_final(found) or found.lost > 0


def _is_final(found: Reading) -> bool:
    return 0 < found.header.end <= found.end


def _put_parquet(frames: list["pl.DataFrame"], blobs: "BlobWriter") -> str:
    import polars as pl

    whole = frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal_relaxed")
    buffer = io.BytesIO()
    whole.write_parquet(buffer, compression="zstd")
    return blobs.put(buffer.getbuffer())


def _manifest(
    stretch: Stretch, found: Reading, *, digest: str, rows: int, host: str, now: int
) -> SealedLog:
    header, records, final = found.header, found.records, _is_final(found)
    times = [record.time_us for record in records] or [header.created]
    return SealedLog(
        worker=header.worker,
        segment=header.segment,
        from_offset=stretch.from_offset,
        to_offset=found.end,
        digest=digest,
        rows=rows,
        min_time=min(times),
        max_time=max(times),
        host=host,
        sealed_at=now,
        dropped=found.lost + (header.dropped if final else 0),
        first_id=records[0].id if records else "",
        last_id=row_ids(records[-1].id, records[-1].rows)[-1] if records else "",
        final=final,
    )
