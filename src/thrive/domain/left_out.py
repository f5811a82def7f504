"""People whom a model server does not answer about, known to it by keyed digests alone."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import msgspec

LEFT_OUT = "is about a person who is left out of use (GDPR art. 18, 21)"
"""What is said of a row that is not answered."""


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """The people who are left out, as whoever is asked about them can tell.

    Attributes:
        key: of the digests, in hexadecimal digits.
        columns: fields that name people.
        people: digests of values of these, as `asked_as` makes them.
    """

    key: str
    columns: list[str]
    people: list[str]

    @classmethod
    def of(cls, orders: Iterable[tuple[str, Sequence[str], str]]) -> list[Self]:
        """Return people by the key they are known by; more than one were several keys in use.

        Args:
            orders: key, columns and digests (separated by a space) of each; without a key it was
                placed before model servers were told.
        """
        columns: dict[str, set[str]] = {}
        people: dict[str, set[str]] = {}
        for key, named, digests in orders:
            if key:
                columns.setdefault(key, set()).update(named)
                people.setdefault(key, set()).update(digests.split())
        return [
            cls(key=key, columns=sorted(columns[key]), people=sorted(people[key]))
            for key in sorted(people)
        ]

    def among(self, values: Iterable[Any]) -> set[Any]:
        """Return those of some values that name one of the people."""
        key, people = bytes.fromhex(self.key), frozenset(self.people)
        return {each for each in values if asked_as(_spelled(each), key) in people}

    def rows_about(self, rows: Sequence[Mapping[str, Any]]) -> list[int]:
        """Return the places of the rows that name one of the people."""
        found: set[int] = set()
        for column in self.columns:
            values = [row.get(column) for row in rows]
            plain = {each for each in values if isinstance(each, str | int | float)}
            named = self.among(plain) if plain else set[Any]()
            found |= {
                place
                for place, each in enumerate(values)
                if isinstance(each, str | int | float) and each in named
            }
        return sorted(found)


def asking_key(key: bytes) -> bytes:
    """Return the key of these digests: it tells nothing of the key of pseudonyms it is made of."""
    return hashlib.blake2b(b"left out", key=key, digest_size=32, person=b"thrive asking").digest()


def asked_as(value: str, key: bytes) -> str:
    """Return by what a model server knows a person."""
    made = hashlib.blake2b(value.encode(), key=key, digest_size=16, person=b"thrive asking")
    return made.hexdigest()


def _spelled(value: Any) -> str:
    """Return a value as whoever left the person out wrote it; JSON may make 7 a 7.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
