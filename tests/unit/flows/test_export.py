"""Workflows of other orchestrators: the graph of a recorded run, and its forms."""

import ast
import json

import pytest

from thrive.domain.run import RunState, StepRecord
from thrive.flows.export.forms import Form, Workflow, write
from thrive.flows.export.graph import Node, graph_of
from thrive.training.digests import step_seed

SEED = 7


def step(position, name, began, ended, ordinal=0, index=None):
    return StepRecord(
        run_id="r",
        position=position,
        name=name,
        state=RunState.DONE,
        started_at=began,
        ended_at=ended,
        seed=step_seed(SEED, name, ordinal),
        index=index,
    )


RECORDED = [
    step(1, "clean", 0, 10),
    step(2, "fit", 10, 30, 0, 0),
    step(3, "fit", 20, 40, 1, 1),
    step(4, "fit", 31, 50, 2, 2),
    step(5, "left", 50, 70),
    step(6, "Right One", 55, 60),
    step(7, "fit", 71, 80, 3, 0),
    step(8, "clean", 80, 90, 1),
]


def test_what_was_side_by_side_stays_so_and_a_fan_out_is_one_node():
    assert graph_of(RECORDED, SEED) == [
        Node(id="clean", step="clean", after=[], positions=[1]),
        Node(id="fit", step="fit", after=["clean"], rows=3, positions=[2, 3, 4]),
        Node(id="left", step="left", after=["fit"], positions=[5]),
        Node(id="right-one", step="Right One", after=["fit"], positions=[6]),
        Node(id="fit-4", step="fit:4", after=["left", "right-one"], positions=[7]),
        Node(id="clean-2", step="clean:2", after=["fit-4"], positions=[8]),
    ]


@pytest.mark.parametrize("form", list(Form))
def test_each_form_names_each_step_and_what_it_waits_for(form):
    nodes = graph_of(RECORDED, SEED)
    flow = Workflow(name="train it", run_id="ab12", image="registry/x:1", nodes=nodes)
    text = write(form, flow)
    for node in nodes:
        assert json.dumps(node.step) in text or f"exec ab12 {node.step}" in text
        assert node.id in text
    assert "registry/x:1" in text
    if form in {Form.AIRFLOW, Form.KUBEFLOW}:
        ast.parse(text)
    if form is Form.AIRFLOW:
        assert 'steps["left"] >> steps["fit-4"]' in text
    if form in {Form.GITHUB, Form.GITLAB}:
        assert 'needs: ["left", "right-one"]' in text
    if form is Form.ARGO:
        assert 'dependencies: ["left", "right-one"]' in text
