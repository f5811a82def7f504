"""Whom an erasure is about, and whether bytes name that person.

Bytes are decoded before they are searched: columns of Parquet and Arrow, compressed streams and
archives; then in UTF-8, UTF-16 and as JSON spells it; numbers also as numpy and pickle lay them
out.
"""

import hashlib
import io
import json
import os
import re
import struct
from functools import cached_property
from typing import TYPE_CHECKING, Any

from thrive.data.rewriting import PARQUET, is_table
from thrive.domain.erasure import ERASED_TEXT
from thrive.flows.erasure.unpacking import pieces_inside, unpacked

if TYPE_CHECKING:
    import polars as pl

_SHORTEST_TEXT, _SHORTEST_NUMBER = 6, 9
_WHOLE = re.compile(r"-?[0-9]+(\.0+)?")
_SCRYPT = {"n": 1 << 14, "r": 8, "p": 1, "dklen": 32}
_DEEPEST = 4
"""So often packed bytes are opened; deeper lies nothing but a bomb."""


class Sought:
    """A person by the value that names them.

    Args:
        value: as the subject columns have it.
        others: how else the person is spelled: by a pseudonym, or in another form of the same text.

    Attributes:
        number: the value where people are whole numbers. Outside of the columns that name people
            only one of many digits is sought: `000000012` is a rare text, 12 is everywhere.
    """

    def __init__(self, value: str, *others: str) -> None:
        self.value = value
        self.spellings = (value, *others)
        self.number = int(value.partition(".")[0]) if _WHOLE.fullmatch(value) else None
        digits = len(str(abs(self.number))) if self.number is not None else 0
        self._number = self.number if digits >= _SHORTEST_NUMBER else None

    def __repr__(self) -> str:
        return "<Sought>"

    @property
    def distinctive(self) -> bool:
        """Whether the value can be searched in places that do not say what they hold.

        A short one (`42`, `ann`) would be found everywhere and prove nothing.
        """
        shortest = _SHORTEST_TEXT if self.number is None else _SHORTEST_NUMBER
        return len(self.value) >= shortest

    @cached_property
    def needles(self) -> list[bytes]:
        """The bytes to search for."""
        texts: list[bytes] = []
        for each in self.spellings:
            escaped = json.dumps(each)[1:-1]
            texts += [each.encode(), each.encode("utf-16-le"), escaped.encode()]
        if self._number is not None and -(1 << 63) <= self._number < 1 << 63:
            texts.append(struct.pack("<q", self._number))
            texts.append(struct.pack("<d", float(self._number)))
            shortest = self._number.to_bytes(
                self._number.bit_length() // 8 + 1, "little", signed=True
            )
            texts += [shortest] if len(shortest) > 4 else []
        return list(dict.fromkeys(texts))

    def digest(self, salt: str) -> str:
        """Return the slow, salted digest by which an erasure knows whom it is about (scrypt)."""
        made = hashlib.scrypt(self.value.encode(), salt=bytes.fromhex(salt), **_SCRYPT)
        return made.hex()

    def in_raw(self, data: bytes) -> bool:
        """Tell whether bytes as they are hold the value."""
        return any(needle in data for needle in self.needles)

    def named_in(self, data: bytes, depth: int = 0) -> bool:
        """Tell whether bytes hold the value, decoded if they are of a known format.

        Args:
            data: a whole file, or files end to end.
            depth: how often what is searched was packed.
        """
        if self.in_raw(data) or (is_table(data) and self._in_table(data)):
            return True
        return depth < _DEEPEST and any(self.named_in(each, depth + 1) for each in unpacked(data))

    def named_inside(self, pack: bytes) -> bool:
        """Tell whether one of the files hold the value that lie end to end in a pack."""
        return self.named_in(pack) or any(self.named_in(each) for each in pieces_inside(pack))

    def rows_naming(self, frame: "pl.DataFrame | pl.LazyFrame") -> "pl.Expr":
        """Return which rows of a table hold the value in any column."""
        import polars as pl

        schema = frame.collect_schema()
        parts = [self._column(name, kind) for name, kind in schema.items()]
        known = [part for part in parts if part is not None]
        return pl.any_horizontal(known).fill_null(value=False) if known else pl.lit(value=False)

    def _column(self, name: str, kind: "pl.DataType") -> "pl.Expr | None":
        import polars as pl

        column = pl.col(name)
        if isinstance(kind, pl.Categorical | pl.Enum):
            column, kind = column.cast(pl.String), pl.String()
        if kind == pl.String:
            held = (column.str.contains(each, literal=True) for each in self.spellings)
            return pl.any_horizontal(held)
        if kind == pl.Binary:
            return pl.any_horizontal(column.bin.contains(e.encode()) for e in self.spellings)
        if kind.is_nested():
            return column.map_elements(
                lambda row: any(each in str(row) for each in self.spellings),
                return_dtype=pl.Boolean,
            )
        if self._number is None or not kind.is_numeric():
            return None
        return column == (float(self._number) if kind.is_float() else self._number)

    def _in_table(self, data: bytes) -> bool:
        import polars as pl

        source = io.BytesIO(data)
        try:
            frame = pl.read_parquet(source) if data[:4] == PARQUET else pl.read_ipc(source)
        except (pl.exceptions.PolarsError, OSError):
            return False
        return bool(frame.select(self.rows_naming(frame).any()).item())

    def redacted(self, value: Any) -> Any:
        """Return a JSON value without the person: ERASED_TEXT in texts, None for equal numbers."""
        if isinstance(value, str):
            for each in self.spellings:
                value = value.replace(each, ERASED_TEXT)
            return value
        if isinstance(value, dict):
            return {self.redacted(key): self.redacted(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.redacted(each) for each in value]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return None if is_number and self._number is not None and value == self._number else value


def new_salt() -> str:
    """Return 16 random bytes as hex."""
    return os.urandom(16).hex()
