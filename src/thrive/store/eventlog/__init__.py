"""The event log: what serving answered, kept in the request and sealed into Parquet later.

Each worker appends records to its own segment, a file of fixed size mapped into memory and fully
allocated, so that a record costs microseconds and survives the death of the process. An agent
closes what dead workers left, seals stretches of segments into blobs, and deletes a segment only
when the manifest rows of all its stretches are committed. A prediction id says where its record
lies, so look-up and the proof of gaps need no index. What a payload means is not known here:
serving writes it and brings the function that decodes it.

Doors: `SegmentWriter` writes; `EventLog` looks at a folder of segments; `seal`, `confirm` and
`discard` move stretches into blobs; `gaps` proves what is missing; `parse_prediction_id` and
`row_ids` read and make ids.
"""

from thrive.store.eventlog.blank import ERASED, blank_records
from thrive.store.eventlog.log import EventLog
from thrive.store.eventlog.manifests import Gap, covering, gaps
from thrive.store.eventlog.prediction_id import (
    MAX_ROWS,
    PredictionId,
    parse_prediction_id,
    row_ids,
)
from thrive.store.eventlog.reader import Record, read_segment
from thrive.store.eventlog.sealing import Stretch, confirm, discard, seal
from thrive.store.eventlog.segments import Segment, SegmentState, close_dead, segments
from thrive.store.eventlog.writer import SegmentWriter

__all__ = [
    "ERASED",
    "MAX_ROWS",
    "EventLog",
    "Gap",
    "PredictionId",
    "Record",
    "Segment",
    "SegmentState",
    "SegmentWriter",
    "Stretch",
    "blank_records",
    "close_dead",
    "confirm",
    "covering",
    "discard",
    "gaps",
    "parse_prediction_id",
    "read_segment",
    "row_ids",
    "seal",
    "segments",
]
