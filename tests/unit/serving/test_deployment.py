"""Files for serving elsewhere: valid by the schemas of Kubernetes, and the words are ours."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from thrive.domain.errors import Conflict, UsageError
from thrive.serving.deployment import Deployment, Target, export

CACHE = Path.home() / ".cache" / "thrive-bench"
MADE = Deployment(image="registry.example.org/thrive:1", home="https://thrive.example.org")
VALIDATE = """
import json, sys
import kubernetes_validate
for path in sys.argv[1:]:
    kubernetes_validate.validate(json.load(open(path)), "1.31", strict=True)
"""


def test_the_files_of_a_cluster_run_a_host_that_asks_for_tokens(tmp_path):
    made = export(Target.K8S, tmp_path / "k8s", MADE)
    assert len(made.files) == 4
    deployment = json.loads((tmp_path / "k8s" / "deployment.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == MADE.image
    assert container["command"][:2] == ["thrive", "serve"]
    assert "--callers" in container["command"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/ping"
    with pytest.raises(Conflict, match="is there already"):
        export(Target.K8S, tmp_path / "k8s", MADE)
    with pytest.raises(UsageError, match="no server"):
        export(Target.K8S, tmp_path / "other", Deployment(image="x", home="/folder"))


def test_an_image_has_no_root_and_no_secret(tmp_path):
    made = export(Target.DOCKER, tmp_path, MADE)
    assert [Path(each).name for each in made.files] == ["Dockerfile", "compose.yaml"]
    lines = (tmp_path / "Dockerfile").read_text().splitlines()
    assert any(line.startswith("USER 1") for line in lines)
    assert not any(line.startswith(("ADD", "ARG")) for line in lines)
    service = json.loads((tmp_path / "compose.yaml").read_text())["services"]["serve"]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]


def test_replicas_of_ray_serve_follow_the_server_and_ask_for_tokens(tmp_path):
    made = export(Target.RAY_SERVE, tmp_path, MADE)
    assert [Path(each).name for each in made.files] == ["serve_app.py", "serve.yaml"]
    module = (tmp_path / "serve_app.py").read_text()
    compile(module, "serve_app.py", "exec")
    assert MADE.home in module
    assert 'callers="/etc/thrive/callers"' in module
    (application,) = json.loads((tmp_path / "serve.yaml").read_text())["applications"]
    (replicas,) = application["deployments"]
    assert replicas["autoscaling_config"]["min_replicas"] == MADE.replicas[0]


@pytest.mark.full
def test_the_objects_fit_the_schemas_of_kubernetes(tmp_path):
    folder = CACHE / "kubernetes-validate"
    if not (folder / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [folder / "bin/python", "-m", "pip", "install", "-q", "kubernetes-validate"]
        subprocess.run(pip, check=True)
        (folder / "ready").touch()
    made = export(Target.K8S, tmp_path / "k8s", MADE)
    python = folder / "bin/python"
    done = subprocess.run(
        [python, "-c", VALIDATE, *made.files], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    wrong = json.loads(Path(made.files[0]).read_text())
    wrong["spec"]["template"]["spec"]["containers"][0]["imagine"] = 1
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    refused = subprocess.run(
        [python, "-c", VALIDATE, str(tmp_path / "wrong.json")], check=False, capture_output=True
    )
    assert refused.returncode != 0
