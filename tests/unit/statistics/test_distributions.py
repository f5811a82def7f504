import math

import pytest
import scipy.special
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st

from thrive.domain.errors import UsageError
from thrive.statistics import distributions as d

CLOSE = {"rel": 1e-9, "abs": 1e-12}


@given(st.floats(-37, 37))
def test_normal_agrees_with_scipy(x: float):
    assert d.normal_cdf(x) == pytest.approx(scipy.stats.norm.cdf(x), rel=1e-9)
    assert d.normal_survival(x) == pytest.approx(scipy.stats.norm.sf(x), rel=1e-9)
    assert d.two_sided_normal(x) == pytest.approx(2 * scipy.stats.norm.sf(abs(x)), rel=1e-9)


@given(st.floats(1e-12, 1 - 1e-12))
def test_normal_quantile_agrees_with_scipy(p: float):
    assert d.normal_quantile(p) == pytest.approx(scipy.stats.norm.ppf(p), **CLOSE)


def test_the_ends_of_the_quantiles():
    assert d.normal_quantile(0.0) == -math.inf
    assert d.normal_quantile(1.0) == math.inf
    assert d.beta_quantile(0.0, 2, 3) == 0.0
    assert d.beta_quantile(1.0, 2, 3) == 1.0
    with pytest.raises(UsageError, match="not a probability"):
        d.normal_quantile(1.1)


@given(st.floats(0, 5000), st.integers(1, 3000))
def test_chi_square_agrees_with_scipy(x: float, degrees: int):
    assert d.chi2_survival(x, degrees) == pytest.approx(scipy.stats.chi2.sf(x, degrees), **CLOSE)


def test_no_degrees_of_freedom_is_no_evidence():
    assert d.chi2_survival(3.0, 0) == 1.0


@given(st.floats(0, 1), st.floats(0.1, 5000), st.floats(0.1, 5000))
def test_beta_agrees_with_scipy(x: float, a: float, b: float):
    assert d.beta_cdf(x, a, b) == pytest.approx(scipy.special.betainc(a, b, x), **CLOSE)


@given(st.floats(1e-6, 1 - 1e-6), st.floats(0.5, 500), st.floats(0.5, 500))
def test_beta_quantile_agrees_with_scipy(p: float, a: float, b: float):
    assert d.beta_quantile(p, a, b) == pytest.approx(scipy.special.betaincinv(a, b, p), **CLOSE)


@given(st.floats(-40, 40), st.floats(1, 1000))
def test_student_survival_agrees_with_scipy(t: float, degrees: float):
    assume(abs(t) > 1e-5)  # nearer to zero scipy itself is off by 2e-9
    assert d.student_survival(t, degrees) == pytest.approx(scipy.stats.t.sf(t, degrees), rel=1e-9)


@given(st.floats(-1e6, 1e6))
def test_student_with_one_degree_is_cauchy(t: float):
    assert d.student_survival(t, 1.0) == pytest.approx(math.atan2(1.0, t) / math.pi, rel=1e-9)


@given(st.floats(1e-4, 1 - 1e-4), st.floats(1, 1000))
def test_student_quantile_agrees_with_scipy(p: float, degrees: float):
    assert d.student_quantile(p, degrees) == pytest.approx(
        scipy.stats.t.ppf(p, degrees), rel=1e-9, abs=1e-9
    )


@given(st.data(), st.integers(1, 400), st.floats(0.001, 0.999))
def test_exact_binomial_test_agrees_with_scipy(data: st.DataObject, n: int, p: float):
    successes = data.draw(st.integers(0, n))
    expected = scipy.stats.binomtest(successes, n, p).pvalue
    assert d.binomial_test_two_sided(successes, n, p) == pytest.approx(expected, **CLOSE)


@pytest.mark.parametrize(
    ("k", "n", "p"), [(500_400, 1_000_000, 0.5), (3, 1_000_000, 1e-6), (0, 5, 0.0)]
)
def test_exact_binomial_test_of_many_trials(k: int, n: int, p: float):
    assert d.binomial_test_two_sided(k, n, p) == pytest.approx(
        scipy.stats.binomtest(k, n, p).pvalue, rel=1e-8
    )


def test_mid_p_is_the_exact_test_without_half_of_the_observed_point():
    exact = d.binomial_test_two_sided(3, 20)
    point = scipy.stats.binom.pmf(3, 20, 0.5)
    assert d.binomial_test_two_sided(3, 20, mid_p=True) == pytest.approx(exact - point, rel=1e-12)


@given(st.data(), st.integers(1, 300), st.floats(0.001, 0.999))
def test_binomial_tail_agrees_with_scipy(data: st.DataObject, n: int, p: float):
    k = data.draw(st.integers(0, n))
    assert d.binomial_survival(k, n, p) == pytest.approx(scipy.stats.binom.sf(k - 1, n, p), **CLOSE)


@given(st.data(), st.integers(1, 200), st.integers(1, 200))
def test_fisher_agrees_with_scipy(data: st.DataObject, n_a: int, n_b: int):
    a = data.draw(st.integers(0, n_a))
    b = data.draw(st.integers(0, n_b))
    expected = scipy.stats.fisher_exact([[a, n_a - a], [b, n_b - b]]).pvalue
    assert d.fisher_exact(a, n_a, b, n_b) == pytest.approx(expected, **CLOSE)


@given(st.floats(0.05, 6))
def test_kolmogorov_agrees_with_scipy(x: float):
    assert d.ks_survival(x) == pytest.approx(scipy.special.kolmogorov(x), **CLOSE)


def test_kolmogorov_starts_at_one():
    assert d.ks_survival(0.0) == 1.0
    assert d.ks_survival(0.01) == pytest.approx(1.0)
