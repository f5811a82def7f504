"""Files that run a serving host elsewhere: in a container, on Kubernetes, as Ray Serve replicas.

What they run is `thrive serve --home URL`: the agent polls the server for routes, keeps verified
copies of the packages and ships the log, so a pod needs no volume that outlives it. A pod answers
callers that show a token, as the address is not of this machine alone.
"""

import json
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from thrive.domain.actor import ANYONE
from thrive.domain.errors import Conflict, UsageError
from thrive.operations import Context, Kind, operation
from thrive.version import __version__

PORT = 8100
_SECRETS = "/etc/thrive"
_FOLDER = "/var/lib/thrive"
_USER = 10001
_GRACE_S = 45
"""Longer than a drain, the last requests and the last shipment of the log together."""


class Target(StrEnum):
    """Where a serving host is to run."""

    K8S = "k8s"
    DOCKER = "docker"
    RAY_SERVE = "ray-serve"


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """The files that were written."""

    files: list[str]


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment is made of.

    Attributes:
        name: of every object in the cluster.
        image: with its tag or digest.
        home: the server that hosts ask.
        replicas: fewest and most pods.
        cpu: processors asked for; one worker uses one.
        memory_mb: limit of a pod.
    """

    name: str = "thrive-serve"
    image: str = ""
    home: str = ""
    replicas: tuple[int, int] = (2, 6)
    cpu: float = 1.0
    memory_mb: int = 1024


def dockerfile() -> str:
    """Return the build file of an image: no root, nothing of a project, no secret."""
    return f"""\
# docker build -t thrive:{__version__} .
FROM python:3.12-slim
RUN pip install --no-cache-dir "thrive[sklearn]=={__version__}" \\
    && useradd --uid {_USER} --create-home --home-dir {_FOLDER} thrive
USER {_USER}
WORKDIR {_FOLDER}
ENV PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1
EXPOSE {PORT}
STOPSIGNAL SIGTERM
# /v2/health/live needs no token.
HEALTHCHECK --start-period=30s CMD ["python", "-c", "import urllib.request as r; \\
r.urlopen('http://127.0.0.1:{PORT}/v2/health/live', timeout=3)"]
ENTRYPOINT ["thrive"]
# docker run -v ./secrets:{_SECRETS}:ro -p {PORT}:{PORT} thrive:{__version__} serve \\
#   --home https://thrive.example.org --token-file {_SECRETS}/token \\
#   --callers {_SECRETS}/callers --host 0.0.0.0
CMD ["serve", "--help"]
"""


def compose(deployment: Deployment) -> dict[str, Any]:
    """Return a Compose file of one host."""
    return {
        "services": {
            "serve": {
                "build": ".",
                "command": _words(deployment),
                "ports": [f"127.0.0.1:{PORT}:{PORT}"],
                "volumes": [f"./secrets:{_SECRETS}:ro", f"serving:{_FOLDER}"],
                "read_only": True,
                "tmpfs": ["/tmp"],  # noqa: S108 - a path inside the container
                "cap_drop": ["ALL"],
                "security_opt": ["no-new-privileges:true"],
                "stop_grace_period": f"{_GRACE_S}s",
                "restart": "unless-stopped",
            }
        },
        "volumes": {"serving": {}},
    }


def manifests(deployment: Deployment) -> dict[str, dict[str, Any]]:
    """Return the objects for a cluster by the name of their file."""
    name = deployment.name
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": "thrive"}
    selector = {"app.kubernetes.io/name": name}
    least, most = deployment.replicas
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    meta = {"name": name, "labels": labels}
    return {
        "deployment": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta,
            "spec": {
                "replicas": least,
                "selector": {"matchLabels": selector},
                "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                "template": {"metadata": {"labels": labels}, "spec": _pod(deployment)},
            },
        },
        "service": {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {
                "selector": selector,
                "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
            },
        },
        "autoscaler": {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": meta,
            "spec": {
                "scaleTargetRef": target,
                "minReplicas": least,
                "maxReplicas": most,
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {
                            "name": "cpu",
                            "target": {"type": "Utilization", "averageUtilization": 70},
                        },
                    }
                ],
            },
        },
        "disruption-budget": {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": meta,
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector}},
        },
    }


def _pod(deployment: Deployment) -> dict[str, Any]:
    return {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": _GRACE_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "serve",
                "image": deployment.image,
                "command": ["thrive", *_words(deployment)],
                "workingDir": _FOLDER,
                "env": [
                    {"name": "HOME", "value": _FOLDER},
                    {"name": "OMP_NUM_THREADS", "value": "1"},
                ],
                "ports": [{"name": "http", "containerPort": PORT}],
                "resources": {
                    "requests": {
                        "cpu": f"{int(deployment.cpu * 1000)}m",
                        "memory": f"{deployment.memory_mb // 2}Mi",
                    },
                    "limits": {"memory": f"{deployment.memory_mb}Mi"},
                },
                "startupProbe": _probe("/ping", period=2, failures=60),
                "readinessProbe": _probe("/ping", period=2, failures=2),
                "livenessProbe": _probe("/v2/health/live", period=10, failures=6),
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [
                    {"name": "secrets", "mountPath": _SECRETS, "readOnly": True},
                    {"name": "work", "mountPath": _FOLDER},
                    {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - inside the container
                ],
            }
        ],
        "volumes": [
            {"name": "secrets", "secret": {"secretName": deployment.name, "defaultMode": 288}},
            {"name": "work", "emptyDir": {"sizeLimit": "4Gi"}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}},
        ],
    }


def _probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def ray_application(deployment: Deployment) -> str:
    """Return a module with a Ray Serve application: each replica is a serving host."""
    return f'''\
"""Replicas of Ray Serve that answer for {deployment.home}: PYTHONPATH=. serve run serve.yaml"""

from ray import serve
from thrive.client.replica import Replica


@serve.deployment
@serve.ingress(
    Replica(
        server={deployment.home!r},
        token_file="{_SECRETS}/token",  # these two files, and the folder, are on every node
        callers="{_SECRETS}/callers",
        folder="{_FOLDER}/ray-serve",  # keep it: what a killed replica logged lies there
    )
)
class Models:
    def check_health(self) -> None:
        self.app.check()


app = Models.bind()
'''


def ray_config(deployment: Deployment) -> dict[str, Any]:
    """Return the configuration of that application."""
    least, most = deployment.replicas
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": "127.0.0.1", "port": 8000},
        "applications": [
            {
                "name": deployment.name,
                "import_path": "serve_app:app",
                "route_prefix": "/",
                "deployments": [
                    {
                        "name": "Models",
                        "max_ongoing_requests": 256,
                        "autoscaling_config": {
                            "min_replicas": least,
                            "max_replicas": most,
                            "target_ongoing_requests": 32,
                        },
                        "health_check_period_s": 5,
                        "graceful_shutdown_timeout_s": _GRACE_S,
                        "ray_actor_options": {
                            "num_cpus": deployment.cpu,
                            "memory": deployment.memory_mb << 20,
                        },
                    }
                ],
            }
        ],
    }


def _words(deployment: Deployment) -> list[str]:
    secrets = ["--token-file", f"{_SECRETS}/token", "--callers", f"{_SECRETS}/callers"]
    return ["serve", "--home", deployment.home, *secrets, "--host", "0.0.0.0"]  # noqa: S104 - a pod's own address


@operation("deployments export", kind=Kind.CLIENT, role=ANYONE)
def deployments_export(
    ctx: Context,
    target: Target,
    folder: Path,
    *,
    server: str,
    image: str = f"thrive:{__version__}",
    name: str = "thrive-serve",
) -> Exported:
    """Write the files that run serving hosts in a cluster, or build their image.

    For Kubernetes a Deployment with probes, a Service, an autoscaler and a disruption budget; they
    expect a Secret of the deployment's name with `token` (from `thrive tokens create`) and
    `callers` (a token a line, for those who ask). For Docker a Dockerfile and a Compose file. For
    Ray Serve an application whose replicas are serving hosts, and its configuration.

    Args:
        target: k8s, docker or ray-serve.
        folder: where the files go.
        server: the address of the server that hosts follow.
        image: the image with its tag or digest; Ray Serve needs none.
        name: of every object.

    Examples:
        thrive deployments export k8s deploy --server https://thrive.example.org
        thrive deployments export docker deploy --server https://thrive.example.org
        thrive deployments export ray-serve deploy --server https://thrive.example.org
    """
    made = Deployment(name=name, image=image, home=server)
    return export(target, ctx.local_folder() / folder, made)


def export(target: Target, folder: Path, deployment: Deployment) -> Exported:
    """Write the files of a target into a folder.

    Raises:
        UsageError: the home is no address of a server, or the image has no name.
        Conflict: a file is there already.
    """
    if not deployment.home.startswith("https://"):
        raise UsageError(
            f"{deployment.home or 'Nothing'} is no server that a host elsewhere can ask.",
            "name it: --server https://thrive.example.org",
        )
    if target is Target.DOCKER:
        made = {"Dockerfile": dockerfile(), "compose.yaml": _json(compose(deployment))}
    elif target is Target.RAY_SERVE:
        config = _json(ray_config(deployment))
        made = {"serve_app.py": ray_application(deployment), "serve.yaml": config}
    else:
        objects = manifests(deployment)
        made = {f"{name}.yaml": _json(found) for name, found in objects.items()}
    present = [name for name in made if (folder / name).exists()]
    if present:
        raise Conflict(f"{folder / present[0]} is there already.", "choose a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in made.items():
        (folder / name).write_text(text)
    return Exported(files=[str(folder / name) for name in made])


def _json(found: dict[str, Any]) -> str:
    """Return an object as JSON, which is YAML too, and needs no library to be written rightly."""
    return json.dumps(found, indent=2) + "\n"
