"""A notebook as it is: executed from top to bottom, recorded, and done again from its record."""

import json

import pytest

from thrive.domain.actor import local_actor
from thrive.domain.errors import NotRight
from thrive.flows.reproduce import reproduce
from thrive.flows.run import run
from thrive.operations import Context
from thrive.store.home import create_home
from thrive.tracking import operations as runs

pytestmark = pytest.mark.full

CELLS = [
    ("rate = 0.1", ["parameters"]),
    ("import thrive\nprint('rate', rate)\nthrive.log(rate=rate)\nrate * 2", []),
    ("%alias_magic t time\n1 / 0", ["raises-exception"]),
    ("late", ["late"]),
    ("late = 1", []),
]


@pytest.fixture
def project(tmp_path):
    (tmp_path / "thrive.toml").write_text('contract = 1\n[project]\nname = "plain"\n')
    return Context(create_home(tmp_path, "plain"), local_actor("test"), folder=tmp_path)


def write_notebook(folder, *, whole):
    made = [
        {"cell_type": "code", "metadata": {"tags": tags}, "outputs": [], "source": text}
        for text, tags in CELLS
        if whole or "late" not in tags
    ]
    book = {"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": made}
    (folder / "book.ipynb").write_text(json.dumps(book))


def test_a_notebook_is_executed_from_top_to_bottom_and_done_again(project):
    write_notebook(project.local_folder(), whole=False)
    before = (project.local_folder() / "book.ipynb").read_bytes()
    ended = run(project, "book.ipynb", ["--rate", "0.7"])
    assert ended.metrics == {"rate": 0.7}
    seen = runs.show_run(project, ended.run_id)
    assert [step.state.value for step in seen.steps] == ["done", "done", "done", "failed", "done"]
    kept = next(each for each in seen.artifacts if each.kind == "notebook")
    cells = json.loads(project.home.blobs.get(kept.digest))["cells"]
    shown = [output["output_type"] for output in cells[2]["outputs"]]
    assert shown == ["stream", "execute_result"]
    assert cells[2]["outputs"][1]["data"] == {"text/plain": "1.4"}
    assert (project.local_folder() / "book.ipynb").read_bytes() == before
    assert reproduce(project, ended.run_id).exit_code == 0


def test_what_a_clean_run_of_a_notebook_does_not_find_is_named(project):
    write_notebook(project.local_folder(), whole=True)
    with pytest.raises(NotRight, match="cell 4, line 1: late") as caught:
        run(project, "book.ipynb")
    assert caught.value.hint == "cell 4 uses 'late', which only cell 5 makes"
    assert any(each.kind == "notebook" for each in _last(project).artifacts)


def _last(project):
    return runs.show_run(project, runs.list_runs(project).items[0].run_id)
