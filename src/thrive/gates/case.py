"""What a gate run judges: one version, its rival, the rows, and what both answer for them."""

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.contract.schema import ModelTerms
from thrive.domain.clock import DAY
from thrive.domain.model import LABEL, TIME, ModelVersion
from thrive.packaging.manifest import PackageManifest
from thrive.packaging.signature import OutputKind, Scalar
from thrive.statistics.resampling import time_blocks

if TYPE_CHECKING:
    import polars as pl

Floats = NDArray[np.float64]
MISSING = "(missing)"
SHOWN = 3
"""Values that a sentence names."""
MIN_DAYS = 20
"""Days from which rows are taken in blocks of a day: fewer blocks make no honest interval."""


class Rival(StrEnum):
    """What a version is compared with."""

    PRODUCTION = "production"
    VERSION = "version"
    BASELINE = "baseline"


class GateCase(msgspec.Struct, frozen=True, kw_only=True):
    """All that checks may look at; own checks get it as well.

    Attributes:
        version: the candidate.
        manifest: of its package.
        terms: the contract in force for it.
        rival: what it is compared with.
        against: the version it is compared with, None for a baseline.
        frame: the judged rows, natural columns and the reserved ones; labels are all known.
        labels: float64, shape (n,); 1 for positive, of many classes the place of the class.
        candidate: what the candidate answers, recomputed; shape (n,), for many classes (n, k);
            None if it does not answer.
        other: what the rival answers for the same rows; None if it does not answer.
        facts: how the rows were chosen, for the evidence.
    """

    version: ModelVersion
    manifest: PackageManifest
    terms: ModelTerms
    rival: Rival
    against: ModelVersion | None
    frame: Any
    labels: Any
    candidate: Any
    other: Any
    facts: dict[str, Any] = {}

    @property
    def kind(self) -> OutputKind:
        """What the candidate answers."""
        return self.manifest.signature.output.kind

    @property
    def classes(self) -> tuple[Scalar, ...]:
        """The classes of a model that answers for more than two, else none."""
        many = self.kind in {OutputKind.VECTOR, OutputKind.CLASS}
        return self.manifest.signature.output.classes if many else ()

    @property
    def threshold(self) -> float:
        """The score from which a decision is positive, as serving takes it."""
        own = self.manifest.signature.output.threshold
        return self.terms.target.threshold if own is None else own

    @property
    def rows(self) -> int:
        """How many rows are judged."""
        return len(self.labels)

    @property
    def rival_words(self) -> str:
        """The rival as a sentence names it."""
        if self.against is None:
            return f"the baseline {self.terms.gates.quality.baseline!r}"
        if self.rival is Rival.PRODUCTION:
            return f"production (version {self.against.version})"
        return f"version {self.against.version}"

    @property
    def margin(self) -> float:
        """The loss that is still accepted: none against a baseline."""
        return 0.0 if self.against is None else self.terms.gates.quality.margin


def labels_of(
    frame: "pl.DataFrame",
    positive: object,
    classes: tuple[Scalar, ...] = (),
    *,
    binary: bool = False,
) -> Floats:
    """Return the labels as numbers, NaN for one that is none.

    For two classes spelled otherwise 1 stands for `positive`; for more, a label is the place of
    its class among `classes`.
    """
    import polars as pl

    column = frame[LABEL]
    if classes:
        places = {_spelled(each): float(place) for place, each in enumerate(classes)}
        words = [_spelled(each) for each in column.to_list()]
        return np.array([places.get(each, np.nan) for each in words], dtype=np.float64)
    if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
        same = np.array([each == positive for each in column.to_list()], dtype=np.float64)
        return same if binary and isinstance(positive, str) else np.full(len(column), np.nan)
    labels = column.cast(pl.Float64).to_numpy().astype(np.float64)
    spelled = set(np.unique(labels).tolist()) - {0.0, 1.0}
    if spelled and binary and isinstance(positive, int | float) and not isinstance(positive, bool):
        return (labels == float(positive)).astype(np.float64)
    if spelled and binary:
        return np.where((labels == 0.0) | (labels == 1.0), labels, np.nan)
    return np.where(np.isfinite(labels), labels, np.nan)


def strange_labels(frame: "pl.DataFrame", labels: Floats) -> str:
    """Return which labels mean nothing to the model, in words; "" if none."""
    strange = np.isnan(labels)
    if not strange.any():
        return ""
    words = [repr(each) for each in frame[LABEL].filter(strange).unique().sort().to_list()]
    more = ", ..." if len(words) > SHOWN else ""
    return (
        f"{int(strange.sum()):,} rows have labels that this model has no class for "
        f"({', '.join(words[:SHOWN])}{more}): leave such rows out, or train it with them"
    )


def _spelled(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def words_of(column: "pl.Series") -> "pl.Series | None":
    """Return each value as the name of its group; None for lists, structures and bytes.

    What is missing is a group of its own, and NaN is missing.
    """
    import polars as pl

    kind = column.dtype
    if kind.is_nested() or isinstance(kind, pl.Binary | pl.Object):
        return None
    if kind.is_float():
        column = column.fill_nan(None)
    return column.cast(pl.String).fill_null(MISSING)


def clusters_of(frame: "pl.DataFrame", entity: list[str]) -> tuple[NDArray[Any] | None, str]:
    """Return what belongs together a row, and its name; None when each row stands for itself.

    Rows of one day share its weather and its news; with `MIN_DAYS` days they are taken in blocks
    of a day. Else rows of one entity are taken together if entities repeat.
    """
    import polars as pl

    if TIME in frame.columns and frame[TIME].null_count() == 0:
        days = time_blocks(frame[TIME].cast(pl.Int64).to_numpy(), DAY)
        if len(np.unique(days)) >= MIN_DAYS:
            return days, "day"
    known = [name for name in entity if name in frame.columns]
    if known:
        codes = frame.select(pl.struct(known).rank("dense")).to_series().to_numpy()
        if len(np.unique(codes)) < frame.height:
            return codes, ", ".join(known)
    return None, "row"
