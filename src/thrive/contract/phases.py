"""The phases of a release: `shadow 1h`, `ab 50% 1d`, `canary 10% 2h`, `full`."""

import re

from thrive.domain.clock import parse_duration
from thrive.domain.errors import UsageError
from thrive.domain.release import Phase, PhaseKind

_EXAMPLES = 'write e.g. "shadow 1h", "ab 50% 1d", "canary 10% 2h" or "full"'
_PHASE = re.compile(r"(?P<kind>[a-z]+)(?:\s+(?P<share>[^\s%]+)\s*%)?(?:\s+(?P<duration>\S.*))?")


def parse_phase(text: str) -> Phase:
    """Return the phase that `text` spells, e.g. `ab 50% 1d`.

    In a shadow the share is of the requests that are copied, all if it is not said; `full` has
    the share 1 and no end, so it bakes for 0.

    Raises:
        UsageError: the kind is unknown, or the share or the duration is missing or wrong.
    """
    match = _PHASE.fullmatch(text.strip())
    if match is None or match["kind"] not in set(PhaseKind):
        raise UsageError(f"{text!r} is not a phase of a release.", _EXAMPLES)
    kind = PhaseKind(match["kind"])
    if kind is PhaseKind.FULL:
        if match["share"] or match["duration"]:
            raise UsageError(f"{text!r}: a full release has no share and no end.", 'write "full"')
        return Phase(kind=kind, share=1.0, bake=0)
    share = _share(text, kind, match["share"])
    if not match["duration"]:
        raise UsageError(f"{text!r} does not say how long it lasts.", f'write e.g. "{text} 1d"')
    duration = parse_duration(match["duration"])
    if duration <= 0:
        raise UsageError(f"{text!r} lasts no time.", _EXAMPLES)
    return Phase(kind=kind, share=share, bake=duration)


def parse_road(phases: list[str]) -> list[Phase]:
    """Return the phases of a whole release; it ends with `full` and names it once.

    Raises:
        UsageError: a phase is wrong, or the last is not `full`, or an earlier one is.
    """
    road = [parse_phase(phase) for phase in phases]
    kinds = [phase.kind for phase in road]
    if PhaseKind.FULL not in kinds:
        raise UsageError(f"{phases} never reaches all users.", 'end the phases with "full"')
    if kinds.index(PhaseKind.FULL) != len(kinds) - 1:
        raise UsageError(f"{phases} goes on after full.", 'let "full" be the last phase')
    return road


def _share(text: str, kind: PhaseKind, percent: str | None) -> float:
    if percent is None:
        if kind is PhaseKind.SHADOW:
            return 1.0
        raise UsageError(
            f"{text!r} does not say its share of the traffic.", f'write e.g. "{kind} 10% 1d"'
        )
    try:
        share = float(percent) / 100
    except ValueError:
        share = -1.0
    highest_is_whole = kind is PhaseKind.SHADOW
    if not (0 < share < 1 or (highest_is_whole and share == 1)):
        raise UsageError(
            f"{percent}% in {text!r} is not a share of the traffic.",
            "write a percentage above 0% and below 100%",
        )
    return share
