"""Which paths are those of the protocol."""

PREFIXES = ("/api/2.0/mlflow/", "/ajax-api/2.0/mlflow/")
ARTIFACT_PREFIXES = ("/api/2.0/mlflow-artifacts/", "/ajax-api/2.0/mlflow-artifacts/")
VERSION = "/version"
SERVER_INFO = "/server-info"
_FOREIGN = ("/ajax-api/", "/api/2.0/", "/api/3.0/", "/v1/traces")
"""Paths of the protocol of which only a part is answered; the rest is refused in its words."""


def is_mlflow(path: str) -> bool:
    """Tell whether a path is one of the protocol."""
    return path == VERSION or path.startswith(_FOREIGN)


def is_artifact(path: str) -> bool:
    """Tell whether a path is below the proxy of artifacts, where bodies are bytes of any kind."""
    return path.startswith(ARTIFACT_PREFIXES)
