"""A graph in the words of other orchestrators.

A quoted string or a list of JSON is one of YAML and of Python too.
"""

import json
import re
from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec

from thrive.flows.export.graph import Node


class Form(StrEnum):
    """Who executes the workflow."""

    ARGO = "argo"
    AIRFLOW = "airflow"
    KUBEFLOW = "kubeflow"
    GITHUB = "github"
    GITLAB = "gitlab"


class Workflow(msgspec.Struct, frozen=True, kw_only=True):
    """What is exported: a name, the run it comes from, the image of its steps, and its graph."""

    name: str
    run_id: str
    image: str
    nodes: list[Node]

    @property
    def slug(self) -> str:
        """The name as orchestrators take it."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-") or "pipeline"


def write(form: Form, flow: Workflow) -> str:
    """Return a workflow in the form of an orchestrator."""
    return _WRITERS[form](flow)


def _words(flow: Workflow, node: Node) -> list[str]:
    return ["thrive", "runs", "exec", flow.run_id, node.step]


def _line(flow: Workflow, node: Node) -> str:
    return json.dumps(" ".join(_words(flow, node)))


def _head(flow: Workflow) -> str:
    return (
        f"# {flow.name}, as run {flow.run_id} went. The image holds the project's folder (which\n"
        "# is its working folder) and reaches its database and object store.\n"
    )


def _quoted(words: Sequence[str]) -> str:
    return json.dumps(list(words))


def _argo(flow: Workflow) -> str:
    tasks: list[str] = []
    for node in flow.nodes:
        tasks += [f"          - name: {node.id}", "            template: step"]
        if node.after:
            tasks.append(f"            dependencies: {_quoted(node.after)}")
        tasks += [
            "            arguments:",
            "              parameters:",
            "                - name: step",
            f"                  value: {json.dumps(node.step)}",
        ]
    lines = [
        "apiVersion: argoproj.io/v1alpha1",
        "kind: Workflow",
        "metadata:",
        f"  generateName: {flow.slug}-",
        "spec:",
        "  entrypoint: pipeline",
        "  templates:",
        "    - name: pipeline",
        "      dag:",
        "        tasks:",
        *tasks,
        "    - name: step",
        "      inputs:",
        "        parameters:",
        "          - name: step",
        "      container:",
        f"        image: {json.dumps(flow.image)}",
        f'        command: ["thrive", "runs", "exec", "{flow.run_id}"]',
        '        args: ["{{inputs.parameters.step}}"]',
    ]
    return _head(flow) + "\n".join(lines) + "\n"


def _airflow(flow: Workflow) -> str:
    lines = [
        "from datetime import datetime",
        "",
        "from airflow import DAG",
        "from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator",
        "",
        f"IMAGE = {json.dumps(flow.image)}",
        "",
        "",
        "def step(name, words):",
        "    return KubernetesPodOperator(task_id=name, name=name, image=IMAGE, cmds=words)",
        "",
        "",
        f"with DAG({json.dumps(flow.slug)}, start_date=datetime(2024, 1, 1), schedule=None):",
        "    steps = {",
    ]
    for node in flow.nodes:
        lines.append(f"        {json.dumps(node.id)}: step({json.dumps(node.id)},")
        lines.append(f"            {_quoted(_words(flow, node))}),")
    lines.append("    }")
    for node in flow.nodes:
        lines += [f"    steps[{json.dumps(a)}] >> steps[{json.dumps(node.id)}]" for a in node.after]
    return _head(flow) + "\n".join(lines) + "\n"


def _kubeflow(flow: Workflow) -> str:
    lines = [
        "from kfp import compiler, dsl",
        "",
        "",
        "@dsl.container_component",
        "def step(name: str):",
        "    return dsl.ContainerSpec(",
        f"        image={json.dumps(flow.image)},",
        f'        command=["thrive", "runs", "exec", "{flow.run_id}"],',
        "        args=[name],",
        "    )",
        "",
        "",
        f"@dsl.pipeline(name={json.dumps(flow.slug)})",
        "def pipeline():",
        "    steps = {}",
    ]
    for node in flow.nodes:
        after = ", ".join(f"steps[{json.dumps(each)}]" for each in node.after)
        behind = f".after({after})" if after else ""
        # the same words mean other data another day: what is known, Thrive knows
        made = f"step(name={json.dumps(node.step)}).set_caching_options(False){behind}"
        lines.append(f"    steps[{json.dumps(node.id)}] = {made}")
    lines += [
        "",
        "",
        'if __name__ == "__main__":',
        f"    compiler.Compiler().compile(pipeline, {json.dumps(flow.slug + '.yaml')})",
    ]
    return _head(flow) + "\n".join(lines) + "\n"


def _github(flow: Workflow) -> str:
    lines = [f"name: {json.dumps(flow.name)}", "on: [workflow_dispatch]", "jobs:"]
    for node in flow.nodes:
        lines += [f"  {node.id}:", "    runs-on: ubuntu-latest"]
        lines.append(f"    container: {json.dumps(flow.image)}")
        if node.after:
            lines.append(f"    needs: {_quoted(node.after)}")
        lines += ["    steps:", f"      - run: {_line(flow, node)}"]
    return _head(flow) + "\n".join(lines) + "\n"


def _gitlab(flow: Workflow) -> str:
    lines: list[str] = [f"image: {json.dumps(flow.image)}"]
    for node in flow.nodes:
        lines += [f"{node.id}:", f"  needs: {_quoted(node.after)}"]
        lines += ["  script:", f"    - {_line(flow, node)}"]
    return _head(flow) + "\n".join(lines) + "\n"


_WRITERS: dict[Form, Callable[[Workflow], str]] = {
    Form.ARGO: _argo,
    Form.AIRFLOW: _airflow,
    Form.KUBEFLOW: _kubeflow,
    Form.GITHUB: _github,
    Form.GITLAB: _gitlab,
}
