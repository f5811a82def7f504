"""The form of a pseudonym: a keyed stand-in for a personal value, whoever made it and for what."""

import re

import msgspec

PSEUDONYM = "pseudonym"
"""The kind of a column of stand-ins for values of a subject column, whatever its name."""
PSEUDONYM_PREFIX = "pseudonym-"
PSEUDONYM_BYTES = 10
"""Length of the digest behind the prefix, which is written in hexadecimal digits."""
_PSEUDONYM = re.compile(rf"{PSEUDONYM_PREFIX}[0-9a-f]{{{2 * PSEUDONYM_BYTES}}}")


class PseudonymKey(msgspec.Struct, frozen=True, kw_only=True):
    """The key of a project's pseudonyms.

    Attributes:
        fingerprint: tells one key from another, and no more.
        key: 64 hexadecimal digits; empty where the team keeps it apart, in a setting of its hosts.
        host: where it was first used.
        actor: by whom.
        made_at: machine time, UTC microseconds.
    """

    fingerprint: str
    key: str
    host: str
    actor: str
    made_at: int


def is_pseudonym(text: str) -> bool:
    """Tell whether a text is a stand-in that was made here: it is about a person still."""
    return _PSEUDONYM.fullmatch(text) is not None
