"""The baseline of a version: what its reference table says, made once and kept by content."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from thrive.contract.schema import ModelTerms
from thrive.contract.windows import WindowLength
from thrive.domain.errors import Damaged
from thrive.domain.model import TIME, ModelVersion
from thrive.monitoring.counters import Packed, packed_parts, unpacked
from thrive.monitoring.encoding import RELATION, Relations, relations_of
from thrive.monitoring.findings import Measured
from thrive.monitoring.floors import Effects, drift_floors, floor_at
from thrive.monitoring.frames import TEXT, answered, inputs_of
from thrive.monitoring.habits import Habits, habits_of, repeated_rows
from thrive.monitoring.limits import History, Limit, limit_of
from thrive.monitoring.measure import Sketch, parted, sketches
from thrive.monitoring.performance import (
    ESTIMATED,
    REALISED,
    Yardstick,
    higher_is_better,
    performance,
    yardstick_of,
)
from thrive.monitoring.terms import YEAR, TermsInForce
from thrive.operations import Context
from thrive.statistics.drift import psi
from thrive.store import references

if TYPE_CHECKING:
    import polars as pl

FORMAT = 1
_LEAST_ROWS = 50
"""Rows below which a window of the reference tells nothing."""
_LEAST_MISSING = 0.05
_ALL_BUT = 0.95


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """What a version's reference table says of its inputs, its score and its performance.

    Attributes:
        kinds: inputs: numeric, category, text or vector.
        counters: the counters of each input and the score, as bytes.
        yardstick: how answers are judged.
        length: microseconds of a window; the reference was cut into such, or by count.
        windows_a_year: how many windows a year has; limits and floors are for so many.
        windows: windows of the reference with enough rows.
        missing: the largest share of missing values in a window, by input.
        missing_limit: the share of missing values from which it is a fault, by input.
        usual: the largest effect (PSI) of a window against the rest, by input and for the score.
        floors: the effect that an input's own history explains, for any window, or for each
            weekday (Monday first) or season (winter first) where enough are known; none where
            history is too short.
        drift_per_year: false notices a year that all floors together let through.
        habits: what the windows of each input have in common.
        keys: the columns that say what a row is about.
        relations: how the inputs hang together; None for fewer than two.
        parts: the counters of each value of each declared segment, in the cells of the whole.
        histories: each signal of performance in the reference's windows.
        limits: of each signal; the contract's budget is shared among them.
    """

    format: int = FORMAT
    kinds: dict[str, str]
    counters: dict[str, bytes]
    yardstick: Yardstick
    length: int
    windows: int
    missing: dict[str, float]
    missing_limit: dict[str, float]
    usual: dict[str, float]
    histories: list[History]
    limits: list[Limit]
    floors: dict[str, list[float]] = {}
    drift_per_year: float | None = None
    habits: Habits = Habits()
    keys: list[str] = []
    relations: Relations | None = None
    windows_a_year: float = 0.0
    parts: Packed = {}

    def floor(self, name: str, start: int) -> float:
        """Return the effect that an input's history explains in a window that starts then."""
        known = self.floors.get(name)
        if not known:
            return self.usual.get(name, 0.0)
        return floor_at(known, start)

    def sketches(self) -> dict[str, Sketch]:
        """Return the counters of each input and of the score."""
        return unpacked(self.counters, self.kinds)


def baseline_of(
    ctx: Context, version: ModelVersion, terms: TermsInForce, known: str, a_year: float = 0.0
) -> str:
    """Return the digest of a version's baseline, made if there is none yet; "" without reference.

    Args:
        ctx: the project.
        version: whose baseline.
        terms: the contract it was registered under.
        known: the digest that its last window named, "" for none.
        a_year: windows by count that a year of its traffic has, as far as is known.
    """
    made = None if known else make_baseline(ctx, version, terms, a_year)
    if made is None:
        return known
    digest = ctx.home.blobs.put(msgspec.msgpack.encode(made))
    label = f"{version.model}@{version.version}"
    with ctx.observe(f"baseline:{label}") as tx:
        references.add(tx, ctx.project_id, "baseline", label, digest)
    return digest


def make_baseline(
    ctx: Context, version: ModelVersion, terms: TermsInForce, a_year: float = 0.0
) -> Baseline | None:
    """Return a version's baseline from its reference table, None without one; nothing is stored."""
    table = version.reference or version.evaluation
    if not table:
        return None
    classes = version.signature.get("output", {}).get("classes", [])
    reference = answered(_read_table(ctx, table), classes)
    return build(reference, terms, _input_names(version), _texts(version), a_year)


def _read_table(ctx: Context, digest: str) -> "pl.DataFrame":
    from io import BytesIO

    import polars as pl

    path = ctx.home.blobs.local_path(digest)
    return pl.read_parquet(path if path is not None else BytesIO(ctx.home.blobs.get(digest)))


def load_baseline(ctx: Context, digest: str) -> Baseline:
    """Return a stored baseline.

    Raises:
        Damaged: the bytes are none.
    """
    known = _KNOWN.get(digest)
    if known is not None:
        return known
    try:
        made = msgspec.msgpack.decode(ctx.home.blobs.get(digest), type=Baseline)
    except msgspec.MsgspecError as error:
        raise Damaged(f"Blob {digest} is no baseline: {error}.", "thrive doctor") from error
    _KNOWN[digest] = made
    while len(_KNOWN) > _MOST_KNOWN:
        _KNOWN.pop(next(iter(_KNOWN)), None)
    return made


_KNOWN: dict[str, Baseline] = {}
"""Baselines by digest, the newest of those that were read: what a digest names never changes."""
_MOST_KNOWN = 16


def _input_names(version: ModelVersion) -> set[str]:
    return {str(field["name"]) for field in version.signature.get("inputs", [])}


def _texts(version: ModelVersion) -> set[str]:
    fields = version.signature.get("inputs", [])
    return {str(field["name"]) for field in fields if field.get("kind") == TEXT}


def build(
    reference: "pl.DataFrame",
    terms: TermsInForce,
    names: Collection[str] = (),
    texts: Collection[str] = (),
    a_year: float = 0.0,
) -> Baseline:
    """Measure a reference table, as a whole and cut into windows by its `_time`.

    Args:
        reference: out-of-sample rows with `_label`, `_score` and `_time`.
        terms: the contract of the version.
        names: the columns that are inputs; empty for all but the reserved and the entity's.
        texts: those that hold words to read, not names of categories.
        a_year: windows by count that a year of live traffic has, as far as is known.
    """
    names = names or set(reference.columns) - set(terms.model.entity)
    kinds = inputs_of(reference, names, texts)
    whole = sketches(reference, kinds)
    yardstick = yardstick_of(reference, terms.model.target, kinds)
    parts = _windows(reference, terms.length)
    windows_a_year = _windows_a_year(parts, terms, a_year)
    missing: dict[str, list[float]] = {
        name: [counted.missing / max(1, counted.rows)] for name, counted in whole.items()
    }
    relations = relations_of(reference, kinds)
    effects = Effects(names=[*whole, *([RELATION] if relations is not None else [])])
    counters = [sketches(part, kinds, whole) for part in parts]
    for part, counted_here in zip(parts, counters, strict=True):
        for name, counted in counted_here.items():
            missing[name].append(counted.missing / counted.rows)
            found = psi(whole[name], counted, held_out=True).effect
            effects.by_name[name].append(float(np.nan_to_num(found)))
        if relations is not None:
            change = relations.change(part)
            effects.by_name[RELATION].append(change.effect if change is not None else 0.0)
        first = int(part[TIME][0])
        effects.starts.append(first if terms.counted else first // terms.window * terms.window)
    measured = [performance(part, yardstick) for part in parts]
    histories = [_history(name, measured) for name in yardstick.signals]
    return Baseline(
        kinds=kinds,
        counters={name: counted.to_bytes() for name, counted in whole.items()},
        yardstick=yardstick,
        length=terms.window,
        windows=len(parts),
        missing={name: max(shares) for name, shares in missing.items()},
        missing_limit={name: _missing_limit(shares) for name, shares in missing.items()},
        usual={name: max(found, default=0.0) for name, found in effects.by_name.items()},
        histories=histories,
        limits=limits_of(histories, terms.model, windows_a_year),
        **drift_floors(effects, terms, windows_a_year),
        habits=habits_of(
            whole,
            counters,
            effects.starts,
            None if terms.counted else terms.window,
            [repeated_rows(part, {*kinds, *terms.model.entity}) for part in parts],
        ),
        keys=list(terms.model.entity),
        relations=relations,
        windows_a_year=windows_a_year,
        parts=packed_parts(parted(reference, terms.model.segments, kinds, whole)),
    )


def _windows_a_year(parts: "Sequence[pl.DataFrame]", terms: TermsInForce, a_year: float) -> float:
    """Return how many windows a year has; of those by count the most that anything speaks for."""
    if not terms.counted:
        return terms.windows_a_year
    span = int(parts[-1][TIME][-1]) - int(parts[0][TIME][0]) if parts else 0
    in_reference = len(parts) * YEAR / span if span > 0 else 0.0
    return max(terms.windows_a_year, in_reference, a_year)


def _history(name: str, measured: Sequence[Mapping[str, Measured]]) -> History:
    """Return a signal in each window; that of an estimate with the real value beside it."""
    told = [found for found in measured if name in found and found[name].value is not None]
    _, _, metric = name.partition(" ")
    real = [found.get(f"{REALISED} {metric}") for found in told]
    known = [item for item in real if item is not None and item.value is not None]
    paired = name.startswith(ESTIMATED) and len(known) == len(told)
    return History(
        signal=name,
        higher_is_better=higher_is_better(name),
        values=[found[name].value or 0.0 for found in told],
        errors=[found[name].error or 0.0 for found in told],
        real=[item.value or 0.0 for item in known] if paired else [],
        real_errors=[item.error or 0.0 for item in known] if paired else [],
    )


def _missing_limit(shares: list[float]) -> float:
    """Return the share of missing values that no window of the reference explains.

    It lies beyond the worst window by three times what windows differ, 5 % of the rows at least;
    a feed that stops altogether is beyond it, however often single values were missing.
    """
    spread = float(np.std(shares))
    return min(_ALL_BUT, max(shares) + max(_LEAST_MISSING, 3.0 * spread))


def limits_of(histories: list[History], terms: ModelTerms, windows_a_year: float) -> list[Limit]:
    """Return the limit of every signal.

    Half of the alert budget is for the warnings before outcomes come, half for real performance;
    what one kind has no signal for, the other gets.
    """
    kinds = [history.signal.startswith(ESTIMATED) for history in histories]
    share = terms.monitor.false_alarms_per_year / max(1, len(set(kinds)))
    return [
        limit_of(history, share / kinds.count(kind), windows_a_year)
        for history, kind in zip(histories, kinds, strict=True)
    ]


def _windows(reference: "pl.DataFrame", length: WindowLength) -> "list[pl.DataFrame]":
    """Return the parts of a reference that have enough rows, in order of time."""
    import polars as pl

    if TIME not in reference.columns:
        return []
    ordered = reference.sort(TIME, maintain_order=True)
    if length.rows is not None:
        whole = ordered.height // length.rows * length.rows
        return [ordered.slice(at, length.rows) for at in range(0, whole, length.rows)]
    number = (pl.col(TIME) // length.lasts).alias("_window")
    parts = ordered.with_columns(number).partition_by("_window", include_key=False)
    usual = float(np.median([part.height for part in parts])) if parts else 0.0
    least = max(_LEAST_ROWS, usual / 4)
    return [part for part in parts if part.height >= least]
