"""`thrive models export` and `push`: a version as MLflow has it, in a folder or in a registry.

The folder holds the package as it is and a `python_function` flavor that loads it with Thrive's one
loader, so that whoever serves it gets the same answers, from the same closed list of formats.
"""

import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from thrive.domain.actor import BUILDERS
from thrive.domain.errors import CannotTell, Conflict, UsageError
from thrive.domain.model import ModelVersion
from thrive.domain.reference import format_reference, parse_reference
from thrive.domain.run import Run
from thrive.flows.mlflow.connection import API, PROXY, Connection
from thrive.operations import Context, Kind, operation
from thrive.packaging.manifest import MANIFEST_NAME, PackageManifest, read_manifest
from thrive.packaging.signature import FieldKind, OutputKind, Signature
from thrive.store import models, runs
from thrive.version import __version__

_FOLDER = "package"
_TYPES = {
    FieldKind.NUMBER: "double",
    FieldKind.INTEGER: "long",
    FieldKind.BOOLEAN: "boolean",
    FieldKind.CATEGORY: "string",
    FieldKind.TEXT: "string",
    FieldKind.TIME: "datetime",
}
_MOST_TAG = 5000


class ExportedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A version that was written to a folder."""

    model: str
    version: int
    folder: str
    files: list[str]


class PushedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A version that a registry has now, under its own number, with the run of its record."""

    model: str
    version: int
    to: str
    their_version: str
    their_run: str


@operation("models export", kind=Kind.CLIENT, role=BUILDERS, writes=True)
def export_model(ctx: Context, model: str, folder: Path) -> ExportedModel:
    """Write a version as a folder that MLflow loads (`mlflow.pyfunc.load_model(FOLDER)`).

    Args:
        ctx: the context of the call.
        model: MODEL for the newest version, or MODEL@VERSION.
        folder: where to; it must not be there.

    Raises:
        Conflict: the folder is there.
        Refused: an MLflow client registered the version: it has its files already.

    Examples:
        thrive models export flight-delay@1 exported
    """
    version = _version(ctx, model)
    target = ctx.local_folder() / folder
    if target.exists():
        raise Conflict(f"{target} is there already.", "name a folder that is not")
    files = mlflow_files(ctx, version)
    building = target.with_name(f"{target.name}.part")
    for name, data in files.items():
        path = building / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    building.rename(target)
    return ExportedModel(
        model=version.model, version=version.version, folder=str(target), files=sorted(files)
    )


@operation("models push", kind=Kind.CLIENT, role=BUILDERS, writes=True)
def push_model(ctx: Context, model: str, uri: str) -> PushedModel:
    """Send a version with its record to a registry that speaks MLflow's protocol.

    The registry gets a run with the parameters, metrics and tags of the run that made it, the
    files, and a version of a model of the same name. Who asks is told by MLFLOW_TRACKING_TOKEN,
    or MLFLOW_TRACKING_USERNAME and _PASSWORD.

    Args:
        ctx: the context of the call.
        model: MODEL for the newest version, or MODEL@VERSION.
        uri: the registry's address.

    Raises:
        CannotTell: the registry takes files only at a place of its own.
        StoreUnavailable: it does not answer.

    Examples:
        thrive models push flight-delay@1 https://registry.example.org
    """
    version = _version(ctx, model)
    files = mlflow_files(ctx, version)
    their = _Registry(Connection(uri))
    with ctx.read() as tx:
        made = runs.some(tx, ctx.project_id, [version.run_id])
    run_id, place = their.run(version, made[0] if made else None)
    for name, data in files.items():
        their.file(f"{place}/model/{name}", data)
    number = their.version(version, run_id, f"{place}/model")
    with ctx.write(f"model:{version.model}", version=version.version, to=uri[:200], as_=number):
        pass
    return PushedModel(
        model=version.model,
        version=version.version,
        to=uri,
        their_version=number,
        their_run=run_id,
    )


def _version(ctx: Context, model: str) -> ModelVersion:
    name, number = parse_reference(model)
    with ctx.read() as tx:
        return models.get_version(tx, ctx.project_id, name, number)


def mlflow_files(ctx: Context, version: ModelVersion) -> dict[str, bytes]:
    """Return the files of a version as MLflow has them, by name; YAML is written as JSON."""
    blobs, digest = ctx.home.blobs, version.packaged()
    raw = blobs.get(digest)
    manifest = read_manifest(raw, digest=digest)
    files = {f"{_FOLDER}/{name}": blobs.get(each.digest) for name, each in manifest.files.items()}
    requirements = [f"thrive=={__version__}", *manifest.requirements]
    python = platform.python_version()
    environment = {"python": python, "dependencies": ["-r requirements.txt"]}
    conda = {"name": "mlflow-env", "dependencies": [f"python={python}", {"pip": requirements}]}
    return {
        "MLmodel": _yaml(_description(version, manifest, python)),
        "requirements.txt": "\n".join(requirements).encode() + b"\n",
        "python_env.yaml": _yaml(environment),
        "conda.yaml": _yaml(conda),
        f"{_FOLDER}/{MANIFEST_NAME}": raw,
        **files,
    }


def _description(version: ModelVersion, manifest: PackageManifest, python: str) -> dict[str, Any]:
    at = datetime.fromtimestamp(version.created_at / 1e6, UTC)
    return {
        "flavors": {
            "python_function": {
                "loader_module": "thrive.packaging.mlflow_flavor",
                "data": _FOLDER,
                "python_version": python,
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
            }
        },
        "model_uuid": version.package[:32],
        "run_id": version.run_id,
        "utc_time_created": at.strftime("%Y-%m-%d %H:%M:%S.%f"),
        "signature": _signature(manifest.signature),
        "metadata": _record(version),
    }


def _signature(signature: Signature) -> dict[str, Any]:
    inputs = [
        {
            "type": _TYPES[field.kind],
            "name": field.name,
            "required": field.required and not field.nullable,
        }
        for field in signature.inputs
    ]
    answered = "string" if signature.output.kind is OutputKind.CLASS else "double"
    return {
        "inputs": msgspec.json.encode(inputs).decode(),
        "outputs": msgspec.json.encode([{"type": answered}]).decode(),
        "params": None,
    }


def _record(version: ModelVersion) -> dict[str, str]:
    """Return where a version came from, as texts."""
    return {
        "thrive.version": format_reference(version.model, version.version),
        "thrive.package": version.package,
        "thrive.commit": version.commit,
        "thrive.contract": version.contract,
        "thrive.training": msgspec.json.encode(version.training).decode(),
    }


def _yaml(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2)


class _Registry:
    """Another registry, asked for a run, its files, and a version."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def run(self, version: ModelVersion, made: Run | None) -> tuple[str, str]:
        """Create the run that carries a version's record; return its id and artifact address."""
        started = (made.started_at if made else version.created_at) // 1000
        tags = {**(made.tags if made else {}), **_record(version)}
        created = self._ask(
            "runs/create",
            experiment_id=self._experiment(version.model),
            run_name=format_reference(version.model, version.version),
            start_time=started,
        )
        info = created["run"]["info"]
        metrics = [
            {"key": key, "value": "NaN" if value is None else value, "timestamp": started}
            for key, value in version.metrics.items()
        ]
        params = made.params if made else {}
        self._ask(
            "runs/log-batch",
            run_id=info["run_id"],
            metrics=metrics[:1000],
            params=[{"key": key, "value": str(text)[:6000]} for key, text in params.items()][:100],
            tags=[{"key": key, "value": text[:_MOST_TAG]} for key, text in tags.items()][:100],
        )
        ended = (made.ended_at if made and made.ended_at else version.created_at) // 1000
        self._ask("runs/update", run_id=info["run_id"], status="FINISHED", end_time=ended)
        return info["run_id"], info["artifact_uri"]

    def _experiment(self, name: str) -> str:
        try:
            return str(self._ask("experiments/create", name=name)["experiment_id"])
        except Conflict:
            path = f"{API}experiments/get-by-name?experiment_name={quote(name)}"
            return str(self._connection.ask("GET", path)["experiment"]["experiment_id"])

    def file(self, address: str, data: bytes) -> None:
        """Send a file to an artifact address."""
        scheme, _, path = address.partition(":")
        if scheme != "mlflow-artifacts":
            raise CannotTell(
                f"The registry takes files at {address[:80]}, not through its own address.",
                "thrive models export MODEL FOLDER, and log that folder with its own client",
            )
        self._connection.open("PUT", f"{PROXY}/{quote(path.strip('/'))}", data).close()

    def version(self, version: ModelVersion, run_id: str, source: str) -> str:
        """Create the version, and its model where there is none; return its number."""
        try:
            self._ask("registered-models/create", name=version.model)
        except Conflict:
            pass  # a further version of a model that is there
        made = self._ask(
            "model-versions/create",
            name=version.model,
            source=source,
            run_id=run_id,
            description=version.note,
            tags=[{"key": key, "value": text} for key, text in _record(version).items() if text],
        )
        number = made.get("model_version", {}).get("version")
        if number is None:
            raise UsageError("The registry created no version.", "is it one of MLflow's protocol?")
        return str(number)

    def _ask(self, path: str, **body: Any) -> dict[str, Any]:
        return self._connection.ask("POST", API + path, body)
