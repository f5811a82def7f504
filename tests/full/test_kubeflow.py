"""What is exported for Kubeflow is compiled by kfp itself; what is YAML is read by PyYAML."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from thrive.flows.export.forms import Form, Workflow, write
from thrive.flows.export.graph import Node

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

KFP = "2.17.3"
PLACE = Path.home() / ".cache" / "thrive-bench" / f"kfp-{KFP}"
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


def kfp_python() -> str:
    """Return the interpreter of an environment with kfp, made once for this machine."""
    if not (PLACE / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(PLACE)], check=True)
        pip = [str(PLACE / "bin" / "python"), "-m", "pip", "install", "-q", f"kfp=={KFP}"]
        subprocess.run(pip, check=True)
        (PLACE / "ready").touch()
    return str(PLACE / "bin" / "python")


def test_kfp_compiles_what_is_exported_for_it(tmp_path):
    (tmp_path / "flow.py").write_text(write(Form.KUBEFLOW, FLOW))
    subprocess.run([kfp_python(), "flow.py"], cwd=tmp_path, check=True)
    text = (tmp_path / "train-it.yaml").read_text()
    assert text.count("image: registry.example.org/x:1") == 3
    assert "constant: fit:4" in text
    assert "enableCache: true" not in text
    assert text.count("dependentTasks:") == 2


@pytest.mark.parametrize("form", [Form.ARGO, Form.GITHUB, Form.GITLAB])
def test_what_is_exported_is_yaml(tmp_path, form):

    (tmp_path / "flow.yaml").write_text(write(form, FLOW))
    command = [kfp_python(), "-c", READ, str(tmp_path / "flow.yaml")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (read,) = json.loads(done.stdout.replace('"true":', '"on":'))
    if form is Form.ARGO:
        tasks = read["spec"]["templates"][0]["dag"]["tasks"]
        assert [task.get("dependencies", []) for task in tasks] == [[], ["clean"], ["fit-4"]]
    else:
        jobs = read["jobs"] if form is Form.GITHUB else read
        assert jobs["end"]["needs"] == ["fit-4"]
        assert "thrive runs exec ab12 fit:4" in str(jobs["fit-4"])
