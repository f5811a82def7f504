"""What a client sent: a JSON body or a query, read field by field, with the protocol's words.

Unknown fields are left alone, a field may be spelled in camelCase, whole numbers may be texts.
"""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from thrive.server.mlflow.problems import MlflowError, invalid

LARGEST = 1.7976931348623157e308
"""What stands for an infinity in the store."""
_INT64 = range(-(1 << 63), 1 << 63)
_SPECIAL = {"NaN": None, "Infinity": LARGEST, "-Infinity": -LARGEST}
_HUMP = re.compile(r"_([a-z])")
MOST_FIELDS = 2000


def body_of(content: bytes) -> dict[str, Any]:
    """Return the object in a body; none is an empty one, and a text may hold the object's JSON.

    Raises:
        MlflowError: the body is no object.
    """
    try:
        value = msgspec.json.decode(content) if content.strip() else {}
        if isinstance(value, str):
            value = msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        value = _lenient(content)
    if not isinstance(value, dict):
        raise MlflowError("BAD_REQUEST", "The request body is not a JSON object.")
    return value


def _lenient(content: bytes) -> Any:
    """Return a body in which a number is spelled NaN or Infinity, as Python's JSON has it.

    Python takes half a character (a lone surrogate) too, of which no answer and no row can be made.
    """
    try:
        value = json.loads(content)
        value = json.loads(value) if isinstance(value, str) else value
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise MlflowError("BAD_REQUEST", f"The request body is not JSON: {error}.") from None
    return value


def query_of(query: bytes) -> dict[str, Any]:
    """Return the fields of a query, each a list of texts.

    Raises:
        MlflowError: it cannot be read.
    """
    found: dict[str, Any] = {}
    try:
        text = query.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise MlflowError("BAD_REQUEST", f"The query cannot be read: {error}.") from None
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


class Given:
    """The fields of one request, or of one object in it.

    Args:
        fields: values by name; in a query each is a list of texts.
        place: where the object stands, for the words of a refusal.
    """

    def __init__(self, fields: Mapping[str, Any], place: str = "") -> None:
        self._fields = fields
        self._place = place

    def raw(self, name: str) -> Any:
        """Return a field as it came, None where it is absent."""
        if name in self._fields:
            return self._fields[name]
        return self._fields.get(_HUMP.sub(lambda found: found[1].upper(), name))

    def has(self, name: str) -> bool:
        """Tell whether a field was sent."""
        return self.raw(name) is not None

    def text(self, name: str, *, most: int = 0) -> str:
        """Return a text that must be there."""
        value = self.maybe_text(name, most=most)
        if not value:
            raise invalid(f"Missing value for required parameter '{self._place}{name}'.")
        return value

    def maybe_text(self, name: str, *, most: int = 0) -> str:
        """Return a text, empty where it is absent."""
        value = self._single(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._wrong(name, value, "a string")
        if most and len(value) > most:
            raise invalid(
                f"'{self._place}{name}' exceeds the maximum length of {most} characters "
                f"(it has {len(value)})."
            )
        if "\0" in value:
            raise self._wrong(name, value[:40], "a string without NUL")
        return value

    def integer(self, name: str, default: int | None = None) -> int:
        """Return a whole number; without a default it must be there."""
        value = self._single(name)
        if value is None and default is not None:
            return default
        if value is None:
            raise invalid(f"Missing value for required parameter '{self._place}{name}'.")
        try:
            number = int(value) if isinstance(value, int | str) else None
        except ValueError:
            number = None
        if number is None and isinstance(value, float) and value.is_integer():
            number = int(value)
        if number is None or isinstance(value, bool) or number not in _INT64:
            raise self._wrong(name, value, "an integer of 64 bits")
        return number

    def count(self, name: str, default: int, most: int) -> int:
        """Return how many results are wanted: 1 to `most`."""
        value = self.integer(name, default)
        if not 1 <= value <= most:
            raise invalid(
                f"Invalid value {value} for parameter '{name}' supplied: "
                f"it must be a positive integer, at most {most}."
            )
        return value

    def real(self, name: str) -> float | None:
        """Return a number that must be there; None for NaN."""
        value = self._single(name)
        if isinstance(value, str) and value in _SPECIAL:
            return _SPECIAL[value]
        if value is None:
            raise invalid(f"Missing value for required parameter '{self._place}{name}'.")
        try:
            number = float(value) if not isinstance(value, bool | list | dict) else None
        except (ValueError, OverflowError):
            number = None
        if number is None:
            raise self._wrong(name, value, "a number")
        if number != number:  # noqa: PLR0124 - NaN alone differs from itself
            return None
        return max(-LARGEST, min(LARGEST, number))

    def truth(self, name: str) -> bool:
        """Return a yes or no; no where it is absent."""
        value = self._single(name)
        return value is True or (isinstance(value, str) and value.lower() == "true")

    def texts(self, name: str) -> list[str]:
        """Return a list of texts, empty where it is absent."""
        value = self.raw(name)
        if value is None:
            return []
        if isinstance(value, str | int):
            value = [value]
        if not isinstance(value, list) or not all(isinstance(each, str | int) for each in value):
            raise self._wrong(name, value, "a list of strings")
        return [str(each) for each in value]

    def objects(self, name: str) -> "list[Given]":
        """Return a list of objects, empty where it is absent."""
        value = self.raw(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise self._wrong(name, value, "a list of objects")
        return [Given(each, f"{name}[{place}].") for place, each in enumerate(value)]

    def inner(self, name: str) -> "Given":
        """Return an object that must be there."""
        value = self.raw(name)
        if value is None:
            raise invalid(f"Missing value for required parameter '{self._place}{name}'.")
        if not isinstance(value, dict):
            raise self._wrong(name, value, "an object")
        return Given(value, f"{self._place}{name}.")

    def pairs(self, name: str, *, key: int, value: int) -> dict[str, str]:
        """Return a list of key and value objects as a dict.

        Args:
            name: the field.
            key: the longest key.
            value: the longest value.
        """
        found: dict[str, str] = {}
        for each in self.objects(name):
            found[each.text("key", most=key)] = each.maybe_text("value", most=value)
        return found

    def whole(self) -> dict[str, Any]:
        """Return the object as it came."""
        return dict(self._fields)

    def _single(self, name: str) -> Any:
        value = self.raw(name)
        if isinstance(value, list) and value and isinstance(value[0], str):
            return value[-1]  # a query's field
        return value

    def _wrong(self, name: str, value: Any, wanted: str) -> MlflowError:
        shown = json.dumps(value, default=str)[:80]
        return invalid(
            f"Invalid value {shown} for parameter '{self._place}{name}' supplied: "
            f"it must be {wanted}."
        )
