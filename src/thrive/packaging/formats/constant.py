"""The format `constant`: a baseline that answers one value, or one a group.

Gates compare a candidate with a named baseline such as `prior` (the mean of the target); a
fallback when nothing works is a constant too.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.domain.errors import UnsafeModel, UsageError
from thrive.packaging.formats.predictor import DoesNotFit
from thrive.packaging.formats.preparation import Lookup, Vocabulary, length
from thrive.packaging.signature import OutputKind, Signature

if TYPE_CHECKING:
    import polars as pl

NAME = "constant"
FILES = frozenset({"constant.json"})
REQUIRES = ("numpy",)


class Constant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model that answers `value`, or the value of the row's group in the column `by`."""

    format: Literal[1] = 1
    value: float
    by: str = ""
    groups: dict[str, float] = {}


def prior(frame: "pl.DataFrame", target: str, *, by: str = "") -> Constant:
    """Return the baseline that answers the mean of `target` (booleans count 0 and 1).

    Args:
        frame: training rows.
        target: a numeric or boolean column; for a probability, whether the row is positive.
        by: a column of categories: then each category answers its own mean.

    Raises:
        UsageError: the target has no value.
    """
    import polars as pl

    known = frame.drop_nulls(target).with_columns(pl.col(target).cast(pl.Float64))
    if known.is_empty():
        raise UsageError(f"The target {target!r} has no value.", "give rows whose outcome is known")
    value: Any = known[target].mean()
    if not by:
        return Constant(value=float(value))
    means = known.drop_nulls(by).group_by(pl.col(by).cast(pl.String)).agg(pl.col(target).mean())
    groups = dict(sorted(zip(means[by].to_list(), means[target].to_list(), strict=True)))
    return Constant(value=float(value), by=by, groups=groups)


def save(model: Any, signature: Signature) -> dict[str, bytes]:
    """Return the file of a `Constant`.

    Raises:
        DoesNotFit: the model is another one, or groups by a column that is no input.
    """
    if not isinstance(model, Constant):
        raise DoesNotFit("it is no Constant")
    if model.by and model.by not in signature.names:
        raise DoesNotFit(f"it groups by {model.by!r}, which is no input")
    return {"constant.json": msgspec.json.encode(model)}


def load(files: Mapping[str, bytes], signature: Signature) -> "ConstantPredictor":
    """Return the predictor of a verified file.

    Raises:
        UnsafeModel: the file is no constant that can answer the signature.
    """
    try:
        content = msgspec.json.decode(files["constant.json"], type=Constant)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnsafeModel(f"constant.json: {error}.", "pack the model again") from None
    fits = signature.output.kind in {OutputKind.PROBABILITY, OutputKind.NUMBER}
    values = [content.value, *content.groups.values()]
    if signature.output.kind is OutputKind.PROBABILITY:
        fits = fits and all(0 <= value <= 1 for value in values)
    if not fits or not all(map(math.isfinite, values)):
        raise UnsafeModel(
            f"The constant cannot answer a {signature.output.kind}.", "pack the model again"
        )
    if content.by and content.by not in signature.names:
        raise UnsafeModel(f"The constant groups by no input: {content.by[:80]!r}.", "pack it again")
    return ConstantPredictor(signature, content)


class ConstantPredictor:
    """Answers of a package in the format `constant`."""

    gains_from_batches = False
    """A look-up: waiting for others would cost more."""

    def __init__(self, signature: Signature, content: Constant) -> None:
        self.signature = signature
        self._content = content
        values = [*content.groups.values(), content.value, content.value]
        self._values = np.array(values, dtype=np.float64)
        lookup = Lookup(
            source=content.by, values=tuple(content.groups), codes=tuple(content.groups.values())
        )
        self._vocabulary = Vocabulary([lookup])

    def predict(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return one answer a row; see `Predictor.predict`."""
        if not self._content.by:
            return np.full(length(columns), self._content.value)
        return self._values[self._vocabulary.rows(columns[self._content.by])]

    def describe(self) -> dict[str, Any]:
        """Return the format and the number of groups."""
        return {"format": NAME, "by": self._content.by, "groups": len(self._content.groups)}
