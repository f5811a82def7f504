"""Drift: what moved, does it matter, and where did it go?"""

from collections.abc import Mapping

import msgspec

from thrive.data.distributions import Distribution, compare
from thrive.domain.errors import ThriveError
from thrive.domain.monitoring import Window
from thrive.flows.facts import ModelFacts, one_model
from thrive.monitoring.baseline import Baseline, load_baseline
from thrive.monitoring.closing import load_counters
from thrive.monitoring.findings import Column, findings_of
from thrive.operations import Context
from thrive.statistics.sketch import CategorySketch, NumericSketch
from thrive.ui.pages.model import Drift, ModelHead, drift_of, head_of


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """One column in one window.

    Attributes:
        column: its name.
        start: when the window began.
        end: when it ended.
        rows: of the window.
        version: of the model.
        found: what monitoring measured.
        importance: of the column to the model, None where unknown.
        distribution: reference against window; None where the counters are not kept.
        why_not: why there is none.
    """

    column: str
    start: int
    end: int
    rows: int
    version: int
    found: Column
    importance: float | None
    distribution: Distribution | None
    why_not: str


class DriftPage(msgspec.Struct, frozen=True, kw_only=True):
    """The heat map of one model, and the cell that was asked for."""

    now: int
    tab: str
    name: str
    head: ModelHead
    drift: Drift
    chosen: Chosen | None


def load(ctx: Context, words: Mapping[str, str]) -> DriftPage:
    """Return the drift of a model: `column` and `window` (its start) choose a cell.

    Raises:
        NotFound: there is no such model.
    """
    facts = one_model(ctx, words["name"])
    drift = drift_of(facts)
    column = words.get("column") or (drift.rows[0].name if drift.rows else "")
    return DriftPage(
        now=facts.now,
        tab="drift",
        name=facts.model.name,
        head=head_of(facts),
        drift=drift,
        chosen=_chosen(ctx, facts, column, words.get("window", "")),
    )


def _chosen(ctx: Context, facts: ModelFacts, column: str, asked: str) -> Chosen | None:
    """Return a column in the window that was asked for, else in the newest that measured it."""
    for window in reversed(facts.main_windows()):
        found = next((each for each in findings_of(window).columns if each.name == column), None)
        if found is not None and asked in {"", str(window.start)}:
            return _seen(ctx, facts, window, found)
    return None


def _seen(ctx: Context, facts: ModelFacts, window: Window, found: Column) -> Chosen:
    distribution, why_not = None, ""
    try:
        distribution = _distribution(ctx, window, found.name)
    except ThriveError as error:
        why_not = error.what
    importance = facts.production.importance if facts.production is not None else {}
    return Chosen(
        column=found.name,
        start=window.start,
        end=window.end,
        rows=window.rows,
        version=window.version,
        found=found,
        importance=importance.get(found.name),
        distribution=distribution,
        why_not=why_not or ("" if distribution else "The counters of this window are not kept."),
    )


def _distribution(ctx: Context, window: Window, column: str) -> Distribution | None:
    digest = findings_of(window).baseline
    if not window.sketches or not digest:
        return None
    baseline: Baseline = load_baseline(ctx, digest)
    packed = load_counters(ctx, window).whole
    reference = baseline.sketches().get(column)
    if reference is None or column not in packed:
        return None
    if isinstance(reference, NumericSketch):
        return compare(reference, NumericSketch.from_bytes(packed[column]), column)
    return compare(reference, CategorySketch.from_bytes(packed[column]), column)
