"""Pseudonyms: keyed stand-ins for the values of a column that names or describes people.

Equal values have equal stand-ins in every dataset of a project, so rows can still be counted and
joined; without the key nobody finds the value again by trying (keyed BLAKE2b, RFC 7693). They are
personal data still (GDPR art. 4(5)): whoever has key and rows can tell whom they stand for.
"""

import hashlib
import re
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from thrive.domain.pseudonyms import PSEUDONYM_BYTES, PSEUDONYM_PREFIX, is_pseudonym
from thrive.settings import read_settings
from thrive.store.signing import read_key

if TYPE_CHECKING:
    import polars as pl

SETTING = "pseudonym_key"
KEY_FILE = "pseudonym.key"
"""The copy of the key in an embedded home; a key of its own where a host of before has one."""
_WHOLE = re.compile(r"-?[0-9]+(\.0+)?")


def given_key() -> bytes | None:
    """Return the key that a setting of this host gives, None without one.

    Raises:
        UsageError: the setting is no key.
    """
    said = read_settings().pseudonym_key
    return read_key(said, SETTING) if said else None


def key_of_host(home_folder: Path) -> bytes | None:
    """Return the key in a home's folder on this host, None where there is none."""
    path = home_folder / KEY_FILE
    return bytes.fromhex(path.read_text()) if path.exists() else None


def spelled(values: Sequence[str], *keys: bytes | None) -> tuple[str, ...]:
    """Return how tables may spell a person: by some values, and by their pseudonyms of each key."""
    made = (pseudonym(value, key) for key in keys if key is not None for value in values)
    return tuple(dict.fromkeys((*values, *made)))


def ways_to_write(value: str) -> tuple[str, ...]:
    """Return a value, and how the same is written by other programs.

    Accents may be letters of their own or part of one (Unicode NFC, NFD); whole numbers that went
    through a column with gaps end in `.0`.
    """
    ways = [value]
    if not value.isascii():
        from unicodedata import normalize  # here: most values need no other form

        ways += [normalize("NFC", value), normalize("NFD", value)]
    if _WHOLE.fullmatch(value):
        whole = value.partition(".")[0]
        ways += [whole, f"{whole}.0"]
    return tuple(dict.fromkeys(ways))


def spellings_here(value: str, home_folder: Path) -> tuple[str, ...]:
    """Return every spelling that this host can tell of without the database.

    Raises:
        UsageError: the setting `pseudonym_key` is no key.
    """
    return spelled(ways_to_write(value), given_key(), key_of_host(home_folder))


def pseudonym(value: str, key: bytes) -> str:
    """Return the stand-in for a value; a stand-in stands for itself."""
    if is_pseudonym(value):
        return value
    size, person = PSEUDONYM_BYTES, b"thrive data"
    made = hashlib.blake2b(value.encode(), key=key, digest_size=size, person=person)
    return PSEUDONYM_PREFIX + made.hexdigest()


def pseudonymised(frame: "pl.LazyFrame", columns: Sequence[str], key: bytes) -> "pl.LazyFrame":
    """Return the same rows with stand-ins, which are text, in some columns.

    Missing values stay missing. A list or a structure has no stand-in and is left empty.

    Args:
        frame: the rows; nothing is read yet.
        columns: which of its columns; those it lacks are passed over.
        key: as of `pseudonym_key`.
    """
    schema = frame.collect_schema()
    chosen = [name for name in columns if name in schema]
    return frame.with_columns(_stand_in(name, schema[name], key) for name in chosen)


def mark(value: str, key: bytes) -> str:
    """Return by what a person is known who is left out; of a value and of its stand-in the same.

    Unlike a stand-in it is found in no data.
    """
    made = pseudonym(value, key).encode()
    return hashlib.blake2b(made, key=key, digest_size=32, person=b"thrive left out").hexdigest()


def without(
    frame: "pl.LazyFrame", columns: Sequence[str], marks: Collection[str], key: bytes
) -> "pl.LazyFrame":
    """Return the rows that name none of some people.

    Args:
        frame: the rows; nothing is read yet.
        columns: those that name people, by value or by stand-in; those it lacks are passed over.
        marks: whom to leave out, as `mark` names them.
        key: as of `pseudonym_key`.
    """
    import polars as pl

    schema = frame.collect_schema()
    chosen = [name for name in columns if name in schema and not schema[name].is_nested()]
    if not chosen or not marks:
        return frame
    left_out = partial(_among, marks=frozenset(marks), key=key)
    named = [
        pl.col(name).cast(pl.String).map_batches(left_out, pl.Boolean, is_elementwise=True)
        for name in chosen
    ]
    return frame.filter(~pl.any_horizontal(named))


def _among(values: "pl.Series", marks: Collection[str], key: bytes) -> "pl.Series":
    """Tell of each value whether it names somebody of the marks; no value names nobody."""
    import polars as pl

    known = values.drop_nulls().unique()
    named = [each for each in known.to_list() if mark(each, key) in marks]
    marked = pl.Series([named], dtype=pl.List(pl.String))
    return values.is_in(marked).fill_null(value=False)


def _stand_in(name: str, kind: "pl.DataType", key: bytes) -> "pl.Expr":
    import polars as pl

    if kind.is_nested():
        return pl.lit(None, pl.String).alias(name)
    text = pl.col(name).bin.encode("hex") if kind == pl.Binary else pl.col(name).cast(pl.String)
    return text.map_batches(partial(_each, key=key), return_dtype=pl.String, is_elementwise=True)


def _each(values: "pl.Series", key: bytes) -> "pl.Series":
    """Return the stand-ins of a column; each different value is looked at once."""
    import polars as pl

    known = values.drop_nulls().unique(maintain_order=True)
    made = [pseudonym(each, key) for each in known.to_list()]
    return values.replace_strict(known, pl.Series(made, dtype=pl.String), default=None)
