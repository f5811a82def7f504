"""What is exported is read by whom it is for: kfp compiles, Airflow loads, the rest is validated.

Argo's types are those that Hera generates from Argo's own OpenAPI, with unknown fields refused;
the schemas of GitHub and GitLab are those that check-jsonschema carries.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from thrive.flows.export.forms import Form, Workflow, write
from thrive.flows.export.graph import Node

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

CACHE = Path.home() / ".cache" / "thrive-bench"
NEEDED = {
    "kfp-2.17.3": ["kfp==2.17.3"],
    "hera": ["hera"],
    "check-jsonschema": ["check-jsonschema"],
    "airflow": ["apache-airflow", "apache-airflow-providers-cncf-kubernetes"],
}
FLOW = Workflow(
    name="train it",
    run_id="ab12",
    image="registry.example.org/x:1",
    nodes=[
        Node(id="clean", step="clean", after=[]),
        Node(id="fit-4", step="fit:4", after=["clean"], rows=3),
        Node(id="end", step=".", after=["fit-4"]),
    ],
)
READ = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))"


ARGO = """
import json, sys
from hera.shared import _pydantic
_pydantic.APIBaseModel.model_config["extra"] = "forbid"
from hera.workflows.models import Workflow
print(Workflow.model_validate(json.load(sys.stdin)).spec.entrypoint)
"""
AIRFLOW = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
(dag,) = bag.dags.values()
print("DAG", json.dumps({t.task_id: [t.cmds, sorted(t.upstream_task_ids)] for t in dag.tasks}))
"""


def environment(name: str) -> Path:
    """Return the folder of programs of an environment, made once for this machine."""
    place = CACHE / name
    python = place / "bin" / "python"
    done = (
        subprocess.run(
            [python, "-m", "pip", "show", "-q", NEEDED[name][0].partition("=")[0]], check=False
        )
        if python.exists()
        else None
    )
    if done is None or done.returncode:
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *NEEDED[name]], check=True)
    return place / "bin"


def read(path: Path) -> dict:
    """Return the one document of a YAML file, as PyYAML reads it."""
    command = [environment("kfp-2.17.3") / "python", "-c", READ, path]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (found,) = json.loads(done.stdout.replace('"true":', '"on":'))
    return found


def test_kfp_compiles_what_is_exported_for_it(tmp_path):
    (tmp_path / "flow.py").write_text(write(Form.KUBEFLOW, FLOW))
    python = environment("kfp-2.17.3") / "python"
    subprocess.run([python, "flow.py"], cwd=tmp_path, check=True)
    text = (tmp_path / "train-it.yaml").read_text()
    assert text.count("image: registry.example.org/x:1") == 3
    assert "constant: fit:4" in text
    assert "enableCache: true" not in text
    assert text.count("dependentTasks:") == 2


def test_argo_knows_every_field(tmp_path):
    (tmp_path / "flow.yaml").write_text(write(Form.ARGO, FLOW))
    found = read(tmp_path / "flow.yaml")
    tasks = found["spec"]["templates"][0]["dag"]["tasks"]
    assert [task.get("dependencies", []) for task in tasks] == [[], ["clean"], ["fit-4"]]
    command = [environment("hera") / "python", "-c", ARGO]
    done = subprocess.run(
        command, check=True, input=json.dumps(found), capture_output=True, text=True
    )
    assert done.stdout.strip() == "pipeline"
    wrong = json.dumps({**found, "spec": {**found["spec"], "entrypiont": "x"}})
    assert subprocess.run(command, input=wrong, text=True, check=False).returncode == 1


def test_airflow_loads_the_graph(tmp_path):
    (tmp_path / "flow.py").write_text(write(Form.AIRFLOW, FLOW))
    done = subprocess.run(
        [environment("airflow") / "python", "-c", AIRFLOW, tmp_path / "flow.py"],
        env={"AIRFLOW_HOME": str(tmp_path / "airflow"), "PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    words = ["thrive", "runs", "exec", "ab12"]
    assert json.loads(done.stdout.rpartition("DAG ")[2]) == {
        "clean": [[*words, "clean"], []],
        "fit-4": [[*words, "fit:4"], ["clean"]],
        "end": [[*words, "."], ["fit-4"]],
    }


@pytest.mark.parametrize(
    ("form", "schema"),
    [
        (Form.GITHUB, ["vendor.github-workflows"]),
        (Form.GITLAB, ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"]),
    ],
)
def test_files_for_ci_are_valid(tmp_path, form, schema):
    file = tmp_path / "flow.yml"
    file.write_text(write(form, FLOW))
    found = read(file)
    jobs = found["jobs"] if form is Form.GITHUB else found
    assert jobs["end"]["needs"] == ["fit-4"]
    assert "thrive runs exec ab12 fit:4" in str(jobs["fit-4"])
    check = [environment("check-jsonschema") / "check-jsonschema", "--builtin-schema", *schema]
    done = subprocess.run([*check, file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
