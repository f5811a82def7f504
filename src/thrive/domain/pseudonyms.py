"""The form of a pseudonym: a keyed stand-in for a personal value, whoever made it and for what."""

import re

PSEUDONYM_PREFIX = "pseudonym-"
PSEUDONYM_BYTES = 10
"""Length of the digest behind the prefix, which is written in hexadecimal digits."""
_PSEUDONYM = re.compile(rf"{PSEUDONYM_PREFIX}[0-9a-f]{{{2 * PSEUDONYM_BYTES}}}")


def is_pseudonym(text: str) -> bool:
    """Tell whether a text is a stand-in that was made here: it is about a person still."""
    return _PSEUDONYM.fullmatch(text) is not None
