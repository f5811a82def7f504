"""Notebooks as text: which names a run from top to bottom does not find, and parameters."""

import json

import pytest

from thrive.domain.errors import UsageError
from thrive.training.cells import (
    Missing,
    cell_numbers,
    code_cells,
    give_parameters,
    missing_names,
    out_of_order,
    read_notebook,
    source_of,
)


def plain(text: str) -> str:
    return text


def book(*sources, tags=()):
    made = [
        {"cell_type": "code", "metadata": {"tags": list(tags) if not n else []}, "source": text}
        for n, text in enumerate(sources)
    ]
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": made}


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["a = 1", "print(a, [b for b in range(a)])"], []),
        (["print(late)", "late = 1"], [("late", 1, 2)]),
        (["x = gone + 1"], [("gone", 1, 0)]),
        (["def f():\n    return later", "later = 1", "f()"], []),
        (["def f():\n    return gone", "f()"], [("gone", 1, 0)]),
        (["import os.path as p", "class K:\n    x = p", "K, p, __name__"], []),
        (["def f():\n    global g\n    g = 1", "f()", "g"], []),
        (["from math import *", "sin(1)"], []),
        (["a = 1", "a = a + b", "b = 2"], [("b", 2, 3)]),
    ],
)
def test_names_that_no_cell_before_makes_are_found(cells, expected):
    found = missing_names(cells, plain)
    assert found == [Missing(name=name, cell=cell, later=later) for name, cell, later in expected]


def test_a_name_that_was_not_found_counts_inside_of_functions_too():
    cells = ["def f():\n    return later", "f()", "later = 1"]
    assert missing_names(cells, plain, "later") == [Missing(name="later", cell=1, later=3)]


def test_parameters_stand_behind_the_cell_of_their_defaults_and_once():
    found = book("rate = 0.1", "print(rate)", tags=["parameters"])
    for rate in (0.5, 0.7):
        give_parameters(found, {"rate": rate, "name": "it's"})
    assert cell_numbers(code_cells(found)) == [1, 0, 2], "the author's cells keep their numbers"
    assert [source_of(each) for each in code_cells(found)] == [
        "rate = 0.1",
        'rate = 0.7\nname = "it\'s"',
        "print(rate)",
    ]


@pytest.mark.parametrize(
    ("values", "tags", "words"),
    [({"rate": 1}, [], "no cell tagged"), ({"argument 1": "x"}, ["parameters"], "argument 1")],
)
def test_parameters_that_have_no_place_are_refused(values, tags, words):
    with pytest.raises(UsageError, match=words):
        give_parameters(book("rate = 0.1", tags=tags), values)


def test_a_notebook_of_another_form_is_refused_and_the_order_of_its_outputs_is_seen(tmp_path):
    (tmp_path / "old.ipynb").write_text('{"nbformat": 3}')
    (tmp_path / "none.ipynb").write_text("rate = 1")
    for name in ("old", "none"):
        with pytest.raises(UsageError, match="no notebook"):
            read_notebook(tmp_path / f"{name}.ipynb")
    found = book("a = 1", "b = 2")
    for cell, count in zip(found["cells"], (2, 1), strict=True):
        cell["execution_count"] = count
    (tmp_path / "book.ipynb").write_text(json.dumps(found))
    assert out_of_order(read_notebook(tmp_path / "book.ipynb"))
