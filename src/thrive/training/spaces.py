"""Spaces of parameters: what a sweep draws from, written as people type it."""

import itertools
import math
import random
import re
from collections.abc import Iterator, Sequence

import msgspec

from thrive.domain.errors import UsageError

_RANGE = re.compile(r"^(?P<low>[-+0-9.e]*?[0-9])\.\.(?P<high>[-+0-9.e]+)$")
_LOG = re.compile(r"^log\((?P<low>[^,]+),(?P<high>[^,]+)\)$")
MOST_POINTS = 10_000


class Space(msgspec.Struct, frozen=True, kw_only=True):
    """What one parameter may be.

    Attributes:
        name: the parameter.
        choices: the values, as typed; empty for a range.
        low: the smallest number of a range.
        high: the largest.
        whole: only whole numbers.
        log: each order of magnitude is as likely as another.
    """

    name: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    log: bool = False

    def draw(self, source: random.Random) -> str:
        """Return one value at random, as text."""
        if self.choices:
            return source.choice(self.choices)
        if self.whole:
            return str(source.randint(int(self.low), int(self.high)))
        if self.log:
            return repr(math.exp(source.uniform(math.log(self.low), math.log(self.high))))
        return repr(source.uniform(self.low, self.high))

    def points(self) -> list[str]:
        """Return every value, for a grid.

        Raises:
            UsageError: it has no end of them.
        """
        if self.choices:
            return list(self.choices)
        if not self.whole or self.high - self.low >= MOST_POINTS:
            raise UsageError(
                f"A grid over {self.name!r} has no end.",
                f"name values: --over {self.name}=0.1,1,10, or draw: --by random",
            )
        return [str(number) for number in range(int(self.low), int(self.high) + 1)]


def read_space(text: str) -> Space:
    """Return a space: `depth=2..8`, `rate=0.1..0.9`, `alpha=log(1e-3,10)`, `kind=gini,entropy`.

    Raises:
        UsageError: it cannot be read.
    """
    name, equals, said = text.partition("=")
    if not (equals and name.isidentifier() and said):
        raise _unreadable(text)
    found = _RANGE.match(said) or _LOG.match(said)
    if found is None:
        return Space(name=name, choices=tuple(part.strip() for part in said.split(",")))
    log = said.startswith("log")
    try:
        low, high = float(found["low"]), float(found["high"])
    except ValueError:
        raise _unreadable(text) from None
    if not low < high or (log and low <= 0) or not math.isfinite(high - low):
        raise UsageError(f"{text!r} holds nothing.", "write the smaller number first")
    whole = not log and f"{found['low']}{found['high']}".lstrip("+-").replace("-", "").isdigit()
    return Space(name=name, low=low, high=high, whole=whole, log=log)


def _unreadable(text: str) -> UsageError:
    return UsageError(
        f"{text!r} is no space.", "write --over depth=2..8 or --over 'alpha=log(1e-3,10)'"
    )


def grid(spaces: Sequence[Space]) -> Iterator[dict[str, str]]:
    """Yield every combination; the last parameter changes first.

    Raises:
        UsageError: a space has no end.
    """
    names = [space.name for space in spaces]
    for values in itertools.product(*(space.points() for space in spaces)):
        yield dict(zip(names, values, strict=True))


def draws(spaces: Sequence[Space], seed: int) -> Iterator[dict[str, str]]:
    """Yield combinations at random, without an end, the same for the same seed."""
    source = random.Random(seed)  # noqa: S311 - a search, no secret
    while True:
        yield {space.name: space.draw(source) for space in spaces}


class MedianRule:
    """Stops a trial that is worse than the median of the others at the same point.

    The median stopping rule of Golovin et al., "Google Vizier" (KDD 2017): a trial is stopped at a
    step if its best value so far is worse than the median of the running averages of the trials
    that were completed, taken up to that step.

    Args:
        largest: whether larger values are better.
        least: how many trials must be complete before any is stopped.
    """

    def __init__(self, *, largest: bool, least: int = 4) -> None:
        self._sign = 1.0 if largest else -1.0
        self._least = least
        self._complete: list[dict[int, float]] = []

    def stops(self, curve: dict[int, float]) -> bool:
        """Tell whether a trial with these values by step is to be stopped."""
        if len(self._complete) < self._least or not curve:
            return False
        last = max(curve)
        averages = [
            math.fsum(seen) / len(seen)
            for each in self._complete
            if (seen := [self._sign * value for step, value in each.items() if step <= last])
        ]
        if len(averages) < self._least:
            return False
        middle = sorted(averages)[len(averages) // 2 - (len(averages) % 2 == 0)]
        return max(self._sign * value for value in curve.values()) < middle

    def completed(self, curve: dict[int, float]) -> None:
        """Take in the values of a trial that came to its end."""
        self._complete.append(curve)
