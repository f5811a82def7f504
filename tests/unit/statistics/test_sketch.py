import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from thrive.domain.errors import Damaged, UsageError
from thrive.statistics.cells import cell_edges
from thrive.statistics.sketch import (
    NEW_EXAMPLES,
    CategorySketch,
    NumericSketch,
    merge_categories,
    merge_numeric,
    sketch_categories,
    sketch_numeric,
)

pytestmark = pytest.mark.filterwarnings("ignore:overflow")  # of quantiles near the largest float
ANY_FLOATS = arrays(np.float64, st.integers(0, 60), elements=st.floats(width=64))
WORDS = st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=60)


@given(ANY_FLOATS, ANY_FLOATS, ANY_FLOATS)
def test_the_sum_of_the_parts_is_the_sketch_of_the_whole(base, a, b):
    baseline = sketch_numeric(base)
    whole = sketch_numeric(np.concatenate([a, b]), baseline)
    parts = sketch_numeric(a, baseline) + sketch_numeric(b, baseline)
    assert parts.cells.tolist() == whole.cells.tolist()
    assert parts.counts.tolist() == whole.counts.tolist()
    exact = ("missing", "infinite", "minimum", "maximum", "rows", "present")
    assert [getattr(parts, f) for f in exact] == [getattr(whole, f) for f in exact]
    assert whole.rows == len(a) + len(b)


@given(ANY_FLOATS)
def test_every_value_lies_in_its_cell(values):
    sketch = sketch_numeric(values)
    edges = cell_edges()
    for value in values[np.isfinite(values)]:
        with np.errstate(over="ignore"):
            scaled = float(np.float32((value - sketch.centre) / sketch.scale))
        inside = (edges[sketch.cells] <= scaled) & (scaled <= edges[sketch.cells.astype(int) + 1])
        assert inside.any()


@given(ANY_FLOATS)
def test_numeric_bytes_keep_everything(values):
    sketch = sketch_numeric(values)
    again = NumericSketch.from_bytes(sketch.to_bytes())
    assert again.to_bytes() == sketch.to_bytes()
    assert again.cells.tolist() == sketch.cells.tolist()
    assert again.counts.tolist() == sketch.counts.tolist()
    merge_numeric([again, sketch])


def test_moments_are_exact_far_from_zero():
    values = 1e9 + np.random.default_rng(1).normal(size=1000)
    sketch = sketch_numeric(values)
    assert sketch.mean == pytest.approx(values.mean(), rel=1e-14)
    assert sketch.standard_deviation == pytest.approx(values.std(ddof=1), rel=1e-9)
    assert (sketch.minimum, sketch.maximum) == (values.min(), values.max())


def test_missing_and_infinite_stand_apart():
    sketch = sketch_numeric([1.0, None, math.nan, math.inf, -math.inf, 2.0])
    assert (sketch.rows, sketch.present, sketch.missing, sketch.infinite) == (6, 4, 2, 2)
    assert sketch.mean == 1.5
    assert (sketch.quantile(0.0), sketch.quantile(1.0)) == (-math.inf, math.inf)
    assert math.isnan(sketch_numeric([]).mean)
    assert math.isnan(sketch_numeric([]).quantile(0.5))
    assert sketch_numeric([math.nan]).missing == 1


@pytest.mark.parametrize("draw", ["normal", "lognormal", "exponential"])
def test_ks_distance_and_quantiles_are_near_exact(draw):
    rng = np.random.default_rng(2)
    a, b = getattr(rng, draw)(size=100_000), getattr(rng, draw)(size=20_000) * 1.05
    baseline = sketch_numeric(a)
    exact = scipy.stats.ks_2samp(a, b).statistic
    assert sketch_numeric(b, baseline).ks_distance(baseline) == pytest.approx(exact, abs=2e-4)
    for share in (0.01, 0.25, 0.5, 0.99):
        assert baseline.quantile(share) == pytest.approx(np.quantile(a, share), rel=0.005, abs=1e-3)


def test_one_wild_value_does_not_move_the_cells():
    rng = np.random.default_rng(3)
    calm, shifted = rng.normal(size=50_000), rng.normal(3, 1, 20_000)
    baseline = sketch_numeric(calm)
    wild = sketch_numeric(np.append(shifted, 1e6), baseline)
    assert wild.ks_distance(baseline) == pytest.approx(0.866, abs=0.01)
    calm_again = sketch_numeric(np.append(rng.normal(size=20_000), 5000), baseline)
    assert calm_again.ks_distance(baseline) < 0.015


def test_bins_are_the_deciles_of_the_baseline():
    values = np.random.default_rng(4).normal(size=50_000)
    baseline = sketch_numeric(values)
    borders = baseline.bin_borders(10)
    counts = baseline.histogram(borders)
    assert counts.sum() == 50_000
    assert counts[[0, -1]].tolist() == [0, 0]
    assert np.all(np.abs(counts[1:-1] / 50_000 - 0.1) < 0.005)
    edges = baseline.border_values(borders)
    expected = np.histogram(values, np.concatenate([[-np.inf], edges, [np.inf]]))[0]
    assert counts == pytest.approx(expected, abs=25)  # a border value belongs to either side


def test_bins_of_a_constant_and_of_a_heavy_value():
    constant = sketch_numeric(np.full(100, 7.0))
    borders = constant.bin_borders()
    assert constant.histogram(borders).tolist() == [0, 100, 0]
    assert sketch_numeric([6.0, 7.0, 8.0], constant).histogram(borders).tolist() == [1, 1, 1]
    values = np.concatenate([np.zeros(600), np.random.default_rng(5).uniform(1, 2, 400)])
    half_zero = sketch_numeric(values)
    assert 600 in half_zero.histogram(half_zero.bin_borders()).tolist()


def test_strange_baselines_do_not_mix():
    one, two = sketch_numeric([1.0, 2.0, 3.0]), sketch_numeric([10.0, 20.0, 30.0])
    with pytest.raises(UsageError, match="different cells"):
        one + two
    with pytest.raises(UsageError, match="no sketches"):
        merge_numeric([])
    with pytest.raises(Damaged, match="no sketch"):
        NumericSketch.from_bytes(b"nonsense")
    with pytest.raises(Damaged, match="no sketch"):
        NumericSketch.from_bytes(sketch_categories(["a"]).to_bytes())


def test_a_sketch_is_small():
    sketch = sketch_numeric(np.random.default_rng(6).normal(size=200_000))
    assert len(sketch.to_bytes()) < 6_000
    assert len(sketch.cells) < 5_000


@given(WORDS, WORDS, WORDS)
def test_category_parts_add_up_to_the_whole(base, a, b):
    baseline = sketch_categories(base, top=3)
    parts = sketch_categories(a, baseline) + sketch_categories(b, baseline)
    whole = sketch_categories(a + b, baseline)
    assert parts.to_bytes() == whole.to_bytes()
    assert whole.rows == len(a) + len(b)
    assert whole.new == sum(1 for v in a + b if v is not None and v not in set(base))


@given(WORDS)
def test_category_bytes_keep_everything(values):
    sketch = sketch_categories(values, top=5)
    again = CategorySketch.from_bytes(sketch.to_bytes())
    assert again.to_bytes() == sketch.to_bytes()
    assert sketch_categories(values, again).new == 0


def test_categories_are_named_other_new_or_missing():
    baseline = sketch_categories(["a"] * 5 + ["b"] * 3 + ["c"] + [None], top=2)
    assert baseline.names == ("a", "b")
    assert (baseline.other, baseline.new, baseline.missing) == (1, 0, 1)
    assert baseline.singletons == 1
    window = sketch_categories(np.array(["a", "c", "x", "x"]), baseline)
    assert window.histogram().tolist() == [1, 0, 1, 2]
    assert window.examples == {"x": 2}


def test_counts_of_a_group_by_are_taken_as_they_are():
    rows = ["a", "b", "b", None, float("nan"), 3]
    counts = {"a": 1, "b": 2, None: 2, "3": 1}
    assert sketch_categories(counts).to_bytes() == sketch_categories(rows).to_bytes()


def test_memory_is_bounded_for_identifiers():
    baseline = sketch_categories(str(n) for n in range(60_000))
    assert not baseline.complete
    assert len(baseline.to_bytes()) < 5_000
    window = sketch_categories((f"new{n}" for n in range(1000)), baseline)
    assert (window.other, window.new) == (1000, 0)
    known = sketch_categories(str(n) for n in range(1000))
    window = sketch_categories((f"new{n}" for n in range(1000)), known)
    assert window.new == 1000
    assert len(window.examples) == NEW_EXAMPLES


def test_other_names_do_not_mix():
    with pytest.raises(UsageError, match="different categories"):
        merge_categories([sketch_categories(["a"]), sketch_categories(["b"])])
