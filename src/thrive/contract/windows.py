"""The stretch of traffic that is judged at a time: `1 day` or `1000 rows within 2 days`."""

import re

import msgspec

from thrive.domain.clock import DAY, parse_duration
from thrive.domain.errors import UsageError

LONGEST = 7 * DAY
"""How long a window by count waits for its rows, if the contract does not say."""
LEAST_ROWS = 50
_COUNTED = re.compile(r"([\d,_ ]*\d)\s*rows?(?:\s+within\s+(\S.*))?")
_EXAMPLES = 'write e.g. "1 day", "1000 rows" or "1000 rows within 2 days"'


class WindowLength(msgspec.Struct, frozen=True, kw_only=True):
    """How traffic is cut into windows.

    Attributes:
        lasts: microseconds of a window; of one by count the longest that it waits for its rows.
        rows: answered rows after which a window by count ends; None for windows by time.
    """

    lasts: int
    rows: int | None = None


def parse_window(text: str) -> WindowLength:
    """Return the length of a window that `text` spells.

    Raises:
        UsageError: it is neither a duration nor a number of rows, or lasts no time, or has fewer
            rows than anything can be told from.
    """
    match = _COUNTED.fullmatch(text.strip())
    if match is None:
        return WindowLength(lasts=_lasting(text))
    rows = int(re.sub(r"[,_ ]", "", match[1]))
    if rows < LEAST_ROWS:
        raise UsageError(
            f"A window of {rows} rows tells nothing.", f'write "{LEAST_ROWS} rows" or more'
        )
    return WindowLength(lasts=_lasting(match[2]) if match[2] else LONGEST, rows=rows)


def _lasting(text: str) -> int:
    try:
        lasts = parse_duration(text)
    except UsageError:
        lasts = 0
    if not lasts:
        raise UsageError(f"{text!r} is not the length of a window.", _EXAMPLES)
    return lasts
