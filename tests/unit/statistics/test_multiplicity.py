import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from thrive.domain.errors import UsageError
from thrive.statistics.multiplicity import benjamini_hochberg, holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=40)


@settings(max_examples=8)  # statsmodels takes a tenth of a second for Holm
@given(P_VALUES)
def test_adjusted_p_values_agree_with_statsmodels(p_values: list[float]):
    for ours, method in ((holm, "holm"), (benjamini_hochberg, "fdr_bh")):
        expected = multipletests(p_values, method=method)[1]
        assert ours(p_values) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_no_tests_and_no_p_values():
    assert len(holm([])) == 0
    with pytest.raises(UsageError, match="between 0 and 1"):
        benjamini_hochberg([0.5, float("nan")])
