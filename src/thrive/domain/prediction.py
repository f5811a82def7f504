"""What was answered, and what really happened."""

from typing import Any, NamedTuple

import msgspec


class SegmentName(NamedTuple):
    """One segment of the prediction log: the number of its worker, and its own."""

    worker: int
    segment: int


class SealedTo(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a segment a store has: everything before `to_offset`."""

    worker: int
    segment: int
    to_offset: int

    @property
    def name(self) -> SegmentName:
        """Which segment it is."""
        return SegmentName(self.worker, self.segment)


class SealedLog(msgspec.Struct, frozen=True, kw_only=True):
    """The manifest row of one sealed stretch of a worker's prediction log.

    `from_offset` to `to_offset` is the stretch in the raw segment; `final` says that the segment
    ends there. An empty `digest` stands for a stretch without rows. `dropped` counts records that
    found no room on a full disk or were lost with the power. `rows` are those that were sealed,
    less those of erased people: what retention removes stays counted.
    """

    worker: int
    segment: int
    from_offset: int
    to_offset: int
    digest: str
    rows: int
    min_time: int
    max_time: int
    host: str
    sealed_at: int
    dropped: int = 0
    first_id: str = ""
    last_id: str = ""
    final: bool = False


class LogEnd(msgspec.Struct, frozen=True, kw_only=True):
    """What retention removed of the predictions of one model.

    Attributes:
        model: whose predictions.
        until: those before it may be gone; UTC microseconds of the project.
        looked_until: those before it are gone: an end that was broken off goes on from here.
        looked_at: when that was seen, UTC microseconds of the machine.
        rows: predictions that were removed so far.
        outcomes: outcomes that went with them.
        versions: `rows` by the version that answered, its number as text.
    """

    model: str
    until: int
    looked_until: int = 0
    looked_at: int = 0
    rows: int = 0
    outcomes: int = 0
    versions: dict[str, int] = {}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What really happened after a prediction; unique by (prediction, source, revision).

    `observed_at` is when it became true, `recorded_at` when Thrive was told: both are kept, so a
    metric can be shown as it was known on any day.
    """

    prediction_id: str
    value: Any
    observed_at: int
    recorded_at: int
    source: str = "default"
    revision: int = 0
    reason: str = ""


class ParkedOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What really happened to something that is named by its keys, while no prediction is known.

    `entity` holds its keys; it answers the predictions made of them in the `within` microseconds
    up to `at`.
    """

    entity: dict[str, str]
    at: int
    value: Any
    observed_at: int
    model: str = ""
    parked_id: str = ""
    within: int = 0
    recorded_at: int = 0
    tried_at: int = 0
    source: str = "default"
    revision: int = 0
    reason: str = ""
