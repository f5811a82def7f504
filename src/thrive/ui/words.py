"""How pages say numbers, times and sizes; what is not known is said as a dash."""

import math
import re
from datetime import UTC, datetime
from typing import Any

from thrive.domain.clock import DAY, HOUR, MINUTE, SECOND, format_duration

DASH = "-"
LEAST_MOMENT = 10**14
"""Microseconds: a time after 1973; smaller numbers are not taken for times."""
WINDOW_ENDS = frozenset({"start", "end"})
"""Keys of the ends of a window, which are shown to the minute."""
_TYPE_OF_TIME = re.compile(
    r"(Datetime|Duration)\(time_unit='(\w+)'(?:, time_zone=(?:None|'([^']+)'))?\)"
)
_DIGEST = re.compile(r"\b[0-9a-f]{32,64}\b")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+\d\d:\d\d)?")

_AGES = ((2 * DAY, DAY, "day"), (90 * MINUTE, HOUR, "h"), (90 * SECOND, MINUTE, "min"))


def relative(at: int, now: int) -> str:
    """Return a moment as seen from now: `3 h ago`, `in 2 days`, `just now`."""
    distance = abs(now - at)
    for least, unit, name in _AGES:
        if distance >= least:
            count = round(distance / unit)
            words = f"{count:,} {name}{'s' if name == 'day' else ''}"
            break
    else:
        seconds = distance // SECOND
        if seconds < 10:
            return "just now"
        words = f"{seconds} s"
    return f"{words} ago" if at <= now else f"in {words}"


def exact(at: int) -> str:
    """Return a moment to the second: `2013-05-01 06:00:00 UTC`."""
    return datetime.fromtimestamp(at / SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def day(at: int) -> str:
    """Return the day of a moment: `2013-05-01`."""
    return datetime.fromtimestamp(at / SECOND, UTC).strftime("%Y-%m-%d")


def machine_time(at: int) -> str:
    """Return a moment as `<time datetime>` wants it."""
    return datetime.fromtimestamp(at / SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def known(value: Any) -> bool:
    """Tell whether there is a value to show: not None, no NaN, no infinity."""
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def number(value: Any) -> str:
    """Return a number with four significant digits, whole ones with separators."""
    if not known(value):
        return DASH
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return f"{int(value):,}"
    if abs(value) >= 1e6 or abs(value) < 1e-4:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:,.4g}"


def plain(value: Any) -> str:
    """Return a value of a profile: a number as such, a moment without what is nought in it."""
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        day, _, rest = value.partition("T")
        clock = rest.partition("+")[0].partition(".")[0]
        return day if clock in {"", "00:00:00"} else f"{day} {clock.removesuffix(':00')}"
    return number(value)


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share (0..1) as a percentage; a tiny one is never shown as nothing."""
    if share is None or not known(share):
        return DASH
    text = f"{100 * share:.{digits}f} %"
    least = 10.0**-digits
    return f"< {least:.{digits}f} %" if 0 < 100 * share < least / 2 else text


def milliseconds(microseconds: float | None) -> str:
    """Return a latency in milliseconds."""
    if microseconds is None or not known(microseconds):
        return DASH
    value = microseconds / 1000
    return f"{value:.1f} ms" if value < 100 else f"{value:,.0f} ms"


def duration(microseconds: int | None) -> str:
    """Return how long something took or takes, as fine as people read it."""
    if microseconds is None:
        return DASH
    if 0 < microseconds < 10 * SECOND:
        value = microseconds / 1000
        return f"{value:.3g} ms" if value < 999.5 else f"{value / 1000:.2g} s"
    return format_duration(microseconds)


def effect(value: float | None) -> str:
    """Return how far a column moved, with three digits.

    What chance alone moves is taken from it, so it may be less than nothing, which is nothing.
    """
    if value is None or not known(value):
        return DASH
    return f"{max(value, 0.0):.3f}"


def chance(p_value: float | None) -> str:
    """Return a p-value; below a ten-thousandth only that."""
    if p_value is None or not known(p_value):
        return DASH
    return "< 0.0001" if p_value < 1e-4 else f"{p_value:.4f}"


def shortened(source: str) -> str:
    """Return the name of a record with its digests cut to what tells them apart."""
    return _DIGEST.sub(lambda found: f"{found[0][:12]}…", source)


def masked(channel: str) -> str:
    """Return where messages go without what may be a secret: the path of an address."""
    scheme, mark, rest = channel.partition("://")
    if not mark:
        return channel
    host, slash, path = rest.rpartition("@")[2].partition("/")
    return f"{scheme}://{host}{slash}{'…' if path else ''}"


def short_id(text: str) -> str:
    """Return a name as it is, and an id by its last eight digits, which tell ids apart."""
    return (
        text[-8:] if len(text) == 32 and all(each in "0123456789abcdef" for each in text) else text
    )


def column_type(text: str) -> str:
    """Return a type of times as people say it: `Datetime(us, UTC)`; others as they are."""
    return _TYPE_OF_TIME.sub(
        lambda found: f"{found[1]}({', '.join(filter(None, found.groups()[1:]))})", text
    )


def signal(name: str) -> str:
    """Return how the heading of a table calls a signal of performance: `Real roc_auc`."""
    kind, mark, metric = name.partition(" ")
    said = {"realised": "Real", "estimated": "Estimated"}.get(kind, kind)
    return f"{said}{mark}{metric}"


def is_moment(value: Any, key: str) -> bool:
    """Tell whether a stored number is a time, by its name and its size."""
    named = key in {"at", "until", "since", *WINDOW_ENDS} or key.endswith("_at")
    return named and isinstance(value, int) and value > LEAST_MOMENT


def slug(state: object) -> str:
    """Return a state as the name of a style."""
    return str(state).replace(" ", "-")


def size(count: int | None) -> str:
    """Return bytes with a unit: `1.5 MB`."""
    if count is None:
        return DASH
    value, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{count:,} bytes" if units[0] == "bytes" else f"{value:.3g} {units[0]}"


def short(digest: str) -> str:
    """Return the beginning of an id or a digest: enough to know it again."""
    return digest[:12]


def quoted(text: str) -> str:
    """Return a word as a shell takes it."""
    plain = text and all(each.isalnum() or each in "@._-/:" for each in text)
    return text if plain else '"' + "".join(f"\\{c}" if c in '"\\$`' else c for c in text) + '"'
