"""What the annotation of a step's result says."""

from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import polars as pl
import pytest

from thrive import Out, step
from thrive.domain.errors import NotRight, UsageError
from thrive.training.artifacts import ArtifactStore
from thrive.training.outputs import keep_result, outputs_of


class Pair(NamedTuple):
    train: Out[pl.DataFrame]
    weights: Out[np.ndarray]


class Half(NamedTuple):
    one: Out[int]
    other: str


def pair() -> Pair: ...
def alone() -> Out[Annotated[dict[str, int], "counts"]]: ...
def unnamed() -> Out[float]: ...
def bare() -> tuple[int, str]: ...
def half() -> Half: ...
def no_table() -> Out[Annotated[dict[str, int], "data:rows"]]: ...
def no_name() -> Out[Annotated[int, "No Name"]]: ...
def as_text() -> "tuple[Out[Path]]": ...
def unknown() -> "Out[Elsewhere]": ...  # noqa: F821
def not_ours() -> "Elsewhere": ...  # noqa: F821


def test_a_declared_step_is_a_plain_function_outside_of_a_run():
    assert step(unnamed)() is None
    assert [(each.name, each.kind) for each in outputs_of(pair).each] == [
        ("train", pl.DataFrame),
        ("weights", np.ndarray),
    ]
    assert outputs_of(as_text).several
    assert outputs_of(bare) is outputs_of(not_ours) is None


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (half, "only some"),
        (no_table, "Only a Polars frame"),
        (no_name, "cannot name a result"),
        (unknown, "Elsewhere"),
    ],
)
def test_what_cannot_be_kept_is_refused(function, words):
    with pytest.raises(UsageError, match=words):
        outputs_of(function)


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(str(tmp_path / "kept"), str(tmp_path / "lent"))


def test_each_member_of_a_tuple_comes_back_from_a_file_of_its_own(store):
    frame, weights = pl.DataFrame({"x": [1]}), np.arange(3.0)
    ref = keep_result(store, "pair", outputs_of(pair), Pair(frame, weights))
    assert [(part.name, part.kind) for part in ref.parts] == [
        ("train", "arrow"),
        ("weights", "pickle"),
    ]
    back = store.fetch(ref)
    assert isinstance(back, Pair)
    assert back.train.equals(frame)
    assert np.array_equal(back.weights, weights)


def test_a_file_travels_as_its_content(store, tmp_path):
    path = tmp_path / "page.html"
    path.write_text("one")
    ref = keep_result(store, "as_text", outputs_of(as_text), (path,))
    path.write_text("two")
    (found,) = store.fetch(ref)
    assert found.read_text() == "one"
    assert store.lend(found, "an argument") == ref.parts[0]  # no copy, and no path of this machine
    with pytest.raises(UsageError, match="There is no file"):
        keep_result(store, "as_text", outputs_of(as_text), (tmp_path / "none",))


@pytest.mark.parametrize(
    ("function", "value", "words"),
    [
        (alone, [1], "counts of alone is declared as dict.*is a list"),
        (unnamed, "x", "the result of unnamed is declared as float"),
        (pair, 1, "declares 2 results and returned a int"),
        (pair, (1, 2, 3), "returned 3 values"),
    ],
)
def test_another_type_is_not_kept(store, function, value, words):
    with pytest.raises(NotRight, match=words):
        keep_result(store, function.__name__, outputs_of(function), value)


def test_a_whole_number_is_a_number(store):
    assert store.fetch(keep_result(store, "unnamed", outputs_of(unnamed), 1)) == 1
