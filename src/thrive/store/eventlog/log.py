"""One host's folder of segments."""

from pathlib import Path

from thrive.domain.errors import NotFound
from thrive.store.eventlog.blank import ERASED
from thrive.store.eventlog.layout import segment_name
from thrive.store.eventlog.prediction_id import parse_prediction_id
from thrive.store.eventlog.reader import Record, read_record
from thrive.store.eventlog.segments import Segment, close_dead, segments
from thrive.store.eventlog.writer import SegmentWriter


class EventLog:
    """The segments of one host. It knows raw segments alone, not what was sealed from them.

    Args:
        folder: where the segments lie; need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def writer(self, worker: int) -> SegmentWriter:
        """Return a writer for `worker`, with the usual sizes; raises Conflict."""
        return SegmentWriter(self.folder, worker)

    def segments(self) -> list[Segment]:
        """Return the segments by worker and number."""
        return segments(self.folder)

    def close_dead(self) -> list[Segment]:
        """Close the segments whose writer died, and return them."""
        return close_dead(self.folder)

    def find(self, prediction_id: str) -> Record:
        """Return the record that holds a prediction, by its address, without a search.

        Raises:
            UsageError: it is not a prediction id.
            NotFound: the segment is not here (it is sealed, or on another host), or holds no
                such record.
        """
        wanted = parse_prediction_id(prediction_id)
        record = read_record(self.folder / segment_name(wanted.worker, wanted.segment), wanted)
        if record is None or record.kind == ERASED or wanted.row >= record.rows:
            raise NotFound(
                f"There is no prediction {prediction_id} in {self.folder}.",
                "check the id; it must be the one that came back with the prediction",
            )
        return record
