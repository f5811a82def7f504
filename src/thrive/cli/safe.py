"""Text from anywhere, made harmless for a terminal."""

import re

_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_CONTROL_BUT_NEWLINE = re.compile(_CONTROL.pattern.replace("\x00-\x1f", "\x00-\x09\x0b-\x1f"))


def printable(text: str, *, lines: bool = False) -> str:
    r"""Return `text` with control characters spelled out, so that it cannot steer a terminal.

    Escape sequences and characters that reverse the reading direction become `\x1b`, `\u202e`.

    Args:
        text: what somebody stored or typed.
        lines: keep line ends.
    """
    return (_CONTROL_BUT_NEWLINE if lines else _CONTROL).sub(_spelled, text)


def _spelled(found: "re.Match[str]") -> str:
    return ascii(found[0])[1:-1]
