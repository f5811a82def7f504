"""Requests of one signature, read from JSON bytes straight into tuples of values.

A JSON decoder is compiled from the signature: it checks kinds, bounds and missing values while it
parses, at a tenth of the cost of reading decoded objects one by one. It knows the common forms of a
request only. Whatever it cannot read, wrong or merely unusual, is None: then `rows.RowReader` reads
it, and says precisely what is wrong.
"""

import keyword
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Annotated, Any, Literal, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.packaging.rows import LARGEST
from thrive.packaging.signature import NUMERIC, Columns, Field, FieldKind, Signature

Row = tuple[Any, ...]
"""One value an input, in the signature's order; None where it is missing."""
Rows = Sequence[Row]
_Integer = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
_Scalar = str | _Integer | float | bool | None
_TYPES: dict[FieldKind, Any] = {
    FieldKind.NUMBER: float,
    FieldKind.INTEGER: float,
    FieldKind.BOOLEAN: bool,
    FieldKind.CATEGORY: str,
    FieldKind.TEXT: str,
}
_AS_SENT = frozenset({FieldKind.CATEGORY, FieldKind.TEXT, FieldKind.BOOLEAN})
"""Kinds whose value in a row is the one that was sent: their fields can also be keys."""


class Read(msgspec.Struct, frozen=True, gc=False):
    """The rows of one request, and the values of its keys (a tuple a row, in their order)."""

    rows: list[Row]
    keys: list[Row]


class CompiledReader:
    """Reads request bodies of one signature; None is its answer to all that it does not know.

    Args:
        signature: what the rows must fit.
        keys: request fields that are kept beside the inputs.
        ignored: further request fields that may be sent.
    """

    def __init__(
        self, signature: Signature, keys: Sequence[str] = (), ignored: frozenset[str] = frozenset()
    ) -> None:
        names = signature.names
        self._names = list(names)
        self._width = len(names)
        self._whole = [n for n, f in enumerate(signature.inputs) if f.kind is FieldKind.INTEGER]
        extra = [key for key in keys if key not in names]
        places = {name: place for place, name in enumerate([*names, *extra])}
        self._key_places = [places[key] for key in keys]
        row: Any = _row_type(signature, [*extra, *sorted(ignored - set(names) - set(extra))])
        listed = msgspec.defstruct("Listed", [("rows", list[row])])
        records = msgspec.defstruct("Records", [("dataframe_records", list[row])])
        bare = tuple[tuple(_type(field) for field in signature.inputs)]  # type: ignore[misc]
        split = msgspec.defstruct("Split", [("columns", list[str]), ("data", list[bare])])
        whole = msgspec.defstruct("Whole", [("dataframe_split", split)])
        self._row, self._listed, self._records, self._split = (
            _decoder(each) for each in (row, listed, records, whole)
        )

    @staticmethod
    def fits(signature: Signature, keys: Sequence[str] = ()) -> bool:
        """Tell whether requests of a signature can be read this way."""
        kinds = {field.name: field.kind for field in signature.inputs}
        return (
            0 < len(kinds) <= 1000
            and "rows" not in {*kinds, *keys}
            and FieldKind.TIME not in kinds.values()
            and all(field.required or field.nullable for field in signature.inputs)
            and all(kinds[key] in _AS_SENT for key in keys if key in kinds)
        )

    def native(self, body: bytes) -> Read | None:
        """Return the rows of `{"rows": [...]}` or of one row object."""
        try:
            if b'"rows"' in body[:16]:
                return self._read(self._listed.decode(body).rows)
            return self._read([self._row.decode(body)])
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None

    def mlflow(self, body: bytes) -> Read | None:
        """Return the rows of `dataframe_records`, or of a `dataframe_split` in our order."""
        try:
            if b'"dataframe_records"' in body[:32]:
                return self._read(self._records.decode(body).dataframe_records)
            found = self._split.decode(body).dataframe_split
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        if found.columns != self._names or not found.data or not self._are_whole(found.data):
            return None
        return Read(found.data, self._keys(found.data)) if self._bare_keys() else None

    def _read(self, objects: list[Any]) -> Read | None:
        tuples = list(map(msgspec.structs.astuple, objects))
        width = self._width
        rows = tuples if not tuples or len(tuples[0]) == width else [row[:width] for row in tuples]
        if not rows or not self._are_whole(rows):
            return None
        return Read(rows, self._keys(tuples))

    def _keys(self, tuples: list[Row]) -> list[Row]:
        places = self._key_places
        return [tuple([row[place] for place in places]) for row in tuples] if places else []

    def _bare_keys(self) -> bool:
        """Tell whether all keys are inputs, so that rows without further fields have them."""
        return all(place < self._width for place in self._key_places)

    def _are_whole(self, rows: list[Row]) -> bool:
        """Tell whether the values of integer fields are integers; JSON has one kind of number."""
        return all(
            value is None or (value.is_integer() and -LARGEST < value < LARGEST)
            for place in self._whole
            for value in map(itemgetter(place), rows)
        )


def _decoder(kind: Any) -> Any:
    """Return a decoder of a type that exists at run time only."""
    return msgspec.json.Decoder(kind)


def _row_type(signature: Signature, more: list[str]) -> type[msgspec.Struct]:
    """Return a struct with one field an input, then one of any scalar for each of `more`."""
    fields: list[tuple[str, Any, Any]] = []
    rename: dict[str, str] = {}
    for place, field in enumerate(signature.inputs):
        name = _attribute(field.name, place)
        rename[name] = field.name
        default = msgspec.field() if field.required else msgspec.field(default=None)
        fields.append((name, _type(field), default))
    for place, other in enumerate(more):
        name = _attribute(other, len(signature.inputs) + place)
        rename[name] = other
        fields.append((name, _Scalar, msgspec.field(default=None)))
    return msgspec.defstruct(
        "Row", fields, rename=rename, forbid_unknown_fields=True, kw_only=True, gc=False
    )


def _attribute(name: str, place: int) -> str:
    plain = name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_")
    return name if plain else f"f{place}_"


def _type(field: Field) -> Any:
    """Return the type that a JSON decoder checks a field's values by."""
    kind: Any = _TYPES.get(field.kind, Any)
    if field.strict and field.categories and kind is str:
        kind = Literal[field.categories]
    elif field.strict and kind is float and (field.low is not None or field.high is not None):
        kind = Annotated[float, msgspec.Meta(ge=field.low, le=field.high)]
    return kind | None if field.nullable else kind


def columns_of_rows(signature: Signature, rows: Rows) -> Columns:
    """Return tuples of values as typed columns, as `RowReader.read` does."""
    columns: Columns = {}
    for field, values in zip(signature.inputs, zip(*rows, strict=True), strict=True):
        if field.kind in NUMERIC:
            columns[field.name] = np.array(values, dtype=np.float64)
        else:
            column = np.empty(len(values), dtype=object)
            column[:] = values
            columns[field.name] = column
    return columns


def row_predictor(predictor: Any) -> Callable[[Rows], NDArray[Any]]:
    """Return what answers tuples of values: the format's own way, or through typed columns."""
    own = getattr(predictor, "predict_rows", None)
    if own is not None:
        return cast("Callable[[Rows], NDArray[Any]]", own)
    return lambda rows: predictor.predict(columns_of_rows(predictor.signature, rows))


def gains_from_batches(predictor: Any) -> bool:
    """Tell whether many rows at once cost a model much less than one after the other."""
    return bool(getattr(predictor, "gains_from_batches", True))
