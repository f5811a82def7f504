"""Spaces as typed, what is drawn from them, and the rule that stops trials."""

import itertools
import math

import pytest

from thrive.domain.errors import UsageError
from thrive.training.spaces import MedianRule, Space, draws, grid, read_space


@pytest.mark.parametrize(
    ("text", "space"),
    [
        ("depth=2..8", Space(name="depth", low=2, high=8, whole=True)),
        ("shift=-2..3", Space(name="shift", low=-2, high=3, whole=True)),
        ("rate=0.1..0.9", Space(name="rate", low=0.1, high=0.9)),
        ("rate=1e-3..1", Space(name="rate", low=1e-3, high=1)),
        ("alpha=log(1e-3,10)", Space(name="alpha", low=1e-3, high=10, log=True)),
        ("kind=gini, entropy", Space(name="kind", choices=("gini", "entropy"))),
        ("rate=0.1", Space(name="rate", choices=("0.1",))),
    ],
)
def test_spaces_are_read_as_typed(text, space):
    assert read_space(text) == space


@pytest.mark.parametrize("text", ["depth", "depth=", "depth=8..2", "a b=1", "a=log(0,1)"])
def test_what_is_no_space_is_refused(text):
    with pytest.raises(UsageError):
        read_space(text)


def test_a_grid_has_every_combination_and_refuses_what_has_no_end():
    found = list(grid([read_space("a=1..3"), read_space("b=x,y")]))
    assert len(found) == 6
    assert found[1] == {"a": "1", "b": "y"}
    with pytest.raises(UsageError, match="no end"):
        list(grid([read_space("a=0.1..3")]))


def test_draws_fill_their_ranges_evenly_and_are_the_same_for_a_seed():
    spaces = [read_space("n=1..4"), read_space("u=0.5..1.5"), read_space("g=log(1e-4,1)")]
    found = list(itertools.islice(draws(spaces, 3), 4000))
    assert found[:5] == list(itertools.islice(draws(spaces, 3), 5))
    counts = [sum(each["n"] == str(n) for each in found) for n in range(1, 5)]
    assert all(abs(count - 1000) < 150 for count in counts)  # 5 standard errors
    assert abs(sum(float(each["u"]) for each in found) / 4000 - 1.0) < 0.03
    tens = [math.floor(math.log10(float(each["g"]))) for each in found]
    assert all(abs(tens.count(ten) - 1000) < 150 for ten in (-4, -3, -2, -1))


def test_the_median_rule_stops_what_is_worse_than_the_middle_of_the_others():
    rule = MedianRule(largest=False, least=3)
    for level in (1.0, 2.0, 3.0):
        assert not rule.stops({0: 9.0})
        rule.completed({0: level + 1, 1: level - 1})
    assert rule.stops({0: 3.5})  # the middle of 2, 3, 4 is 3
    assert not rule.stops({0: 2.5})
    assert rule.stops({0: 3.5, 1: 2.5})  # the middle of averages 1, 2, 3 is 2
    assert not rule.stops({0: 3.5, 1: 1.5})
    assert not rule.stops({})
