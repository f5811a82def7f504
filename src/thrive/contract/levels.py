"""The level of accuracy that is declared to users: `roc_auc >= 0.70, on each month`."""

import re

import msgspec

_LEVEL = re.compile(r"\s*([a-zA-Z][\w@.-]*)\s*(>=|<=)\s*(-?\d+(?:\.\d+)?)(?![\w.])")
_TWO_SIDED = 1.96
"""Standard errors that a live metric may lie beyond the level before it is said to miss it."""


class AccuracyLevel(msgspec.Struct, frozen=True, kw_only=True):
    """A bound on a metric: `least` tells whether it is the least value, else it is the largest."""

    metric: str
    least: bool
    value: float

    @property
    def words(self) -> str:
        """The bound as people write it."""
        return f"{self.metric} {'>=' if self.least else '<='} {self.value:g}"

    def kept_by(self, value: float) -> bool:
        """Tell whether a value is within the bound."""
        return value >= self.value if self.least else value <= self.value

    def kept_live(self, value: float, error: float) -> bool:
        """Tell whether a value with a standard error may be within it: its 95% interval is."""
        beyond = self.value - value if self.least else value - self.value
        return beyond <= _TWO_SIDED * error


def parse_level(text: str) -> AccuracyLevel | None:
    """Return the bound that a text begins with, None where it begins with none."""
    found = _LEVEL.match(text)
    if found is None:
        return None
    metric, sign, value = found.groups()
    return AccuracyLevel(metric=metric, least=sign == ">=", value=float(value))
