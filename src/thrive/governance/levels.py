"""The accuracy that is declared to users (AI Act art. 15(3)), and where a version stands to it."""

import re

import msgspec

from thrive.governance.records import Records

_LEVEL = re.compile(r"\s*([a-zA-Z][\w@.-]*)\s*(>=|<=)\s*(-?\d+(?:\.\d+)?)(?![\w.])")
_LIVE = "realised"
_TWO_SIDED = 1.96
"""Standard errors that a live metric may lie beyond the level before it is said to."""


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """A bound on a metric: `least` tells whether it is the least value, else it is the largest."""

    metric: str
    least: bool
    value: float

    def kept_by(self, value: float, slack: float = 0.0) -> bool:
        """Tell whether a value is within the bound, or beyond it by no more than `slack`."""
        beyond = self.value - value if self.least else value - self.value
        return beyond <= slack


def parse_level(text: str) -> Level | None:
    """Return the bound that a text begins with, e.g. `roc_auc >= 0.70, on each month`."""
    found = _LEVEL.match(text)
    if found is None:
        return None
    metric, sign, value = found.groups()
    return Level(metric=metric, least=sign == ">=", value=float(value))


def declared_level(records: Records) -> Level | None:
    """Return the level that people declared, None where nobody did."""
    return parse_level(records.answers.fields.get("accuracy_level", ""))


def live_value(records: Records, level: Level) -> tuple[float, float] | None:
    """Return the metric and its standard error in the newest window that has it."""
    for window in reversed(records.windows):
        found = window.findings.get("performance", {}).get(f"{_LIVE} {level.metric}", {})
        if found.get("value") is not None:
            return float(found["value"]), float(found.get("error") or 0.0)
    return None


def below_level(records: Records) -> str:
    """Return in words how a version misses the level that is declared of it, "" if it does not.

    A live metric misses it when the end of its interval of 95% does; one of a test at once.
    """
    level = declared_level(records)
    if level is None:
        return ""
    sign = ">=" if level.least else "<="
    said = f"and {level.metric} {sign} {level.value:g} is declared to users"
    tested = records.version.metrics.get(level.metric)
    if tested is not None and not level.kept_by(tested):
        return f"{records.label} was registered with {level.metric} {tested:.4g}, {said}"
    live = live_value(records, level)
    if live is not None and not level.kept_by(live[0], _TWO_SIDED * live[1]):
        return f"{records.label} has a live {level.metric} of {live[0]:.4g}, {said}"
    return ""
