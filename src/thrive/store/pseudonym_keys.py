"""The key of a project's pseudonyms: one row, so that every host of a team makes the same ones.

A team that keeps it apart from its database gives it to each host as a setting; the row then says
which key it is, and no more.
"""

import os
from collections.abc import Sequence

from blake3 import blake3

from thrive.domain.clock import format_time, machine_now
from thrive.domain.errors import Refused
from thrive.domain.pseudonyms import PseudonymKey
from thrive.settings import variable
from thrive.store import audit
from thrive.store.database import Tx
from thrive.store.home import Home
from thrive.store.pseudonyms import (
    KEY_FILE,
    SETTING,
    given_key,
    key_of_host,
    spelled,
    ways_to_write,
)
from thrive.store.rows import insert, mine, one
from thrive.store.signing import KEY_BYTES, keep_key
from thrive.store.tables.pseudonyms import pseudonym_keys


def pseudonym_key(home: Home, actor: str) -> bytes:
    """Return the key of a project's pseudonyms; made, with its audit row, when first needed.

    Args:
        home: the project's home.
        actor: whom the audit row names if it is made.

    Raises:
        UsageError: the setting `pseudonym_key` is no key.
        Refused: it is another key than the project's, or this host lacks the one kept apart.
    """
    given = given_key()
    known = find_key(home) or _made(home, actor, given)
    key = _checked(known, given)
    if home.database.is_sqlite and known.key:
        keep_key(home.folder, KEY_FILE, key)
    return key


def spellings(value: str, home: Home) -> tuple[str, ...]:
    """Return how tables may spell a person: by the value, and by its pseudonyms if any were made.

    Raises:
        UsageError: the setting `pseudonym_key` is no key.
        Refused: it is another key than the project's, or this host lacks the one kept apart.
    """
    return _spelled((value,), home)


def every_spelling(value: str, home: Home) -> tuple[str, ...]:
    """Return the same of all ways to write the value, which comes first; raises as `spellings`."""
    return _spelled(ways_to_write(value), home)


def _spelled(values: Sequence[str], home: Home) -> tuple[str, ...]:
    given, known = given_key(), find_key(home)
    current = given if known is None else _checked(known, given)
    return spelled(values, current, key_of_host(home.folder))


def find_key(home: Home) -> PseudonymKey | None:
    """Return what is known of a project's key, None before the first pseudonym."""
    with home.read() as tx:
        return _find(tx, home.project_id)


def _find(tx: Tx, project_id: str) -> PseudonymKey | None:
    return one(tx, PseudonymKey, mine(pseudonym_keys, project_id))


def _made(home: Home, actor: str, given: bytes | None) -> PseudonymKey:
    """Give the project its key: the setting's, else the one of this host of before, else new."""
    import socket

    key = given or key_of_host(home.folder) or os.urandom(KEY_BYTES)
    made = PseudonymKey(
        fingerprint=_fingerprint(key),
        key="" if given else key.hex(),
        host=socket.gethostname(),
        actor=actor,
        made_at=machine_now(),
    )
    with home.change() as tx:
        known = _find(tx, home.project_id)
        if known is not None:
            return known
        insert(tx, home.project_id, pseudonym_keys, made)
        audit.append(
            tx,
            home.project_id,
            actor=actor,
            operation="pseudonym key",
            subject=f"pseudonym_key:{made.fingerprint}",
            detail={"host": made.host, "kept": "apart" if given else "with the project"},
        )
    return made


def _checked(known: PseudonymKey, given: bytes | None) -> bytes:
    """Return the project's key if this host has it."""
    if given is None and known.key:
        return bytes.fromhex(known.key)
    if given is None:
        raise Refused(
            f"This host lacks the key of the project's pseudonyms: {known.actor} keeps it apart "
            f"since {format_time(known.made_at)}.",
            f"set {variable(SETTING)} as on the host {known.host}",
        )
    if _fingerprint(given) != known.fingerprint:
        raise Refused(
            f"{variable(SETTING)} is another key than the one of the project's pseudonyms: people "
            "would get a second pseudonym.",
            "do not set it" if known.key else f"set it as on the host {known.host}",
        )
    return given


def _fingerprint(key: bytes) -> str:
    return blake3(key, derive_key_context="thrive pseudonym key fingerprint").hexdigest()
