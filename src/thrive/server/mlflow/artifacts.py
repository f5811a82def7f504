"""Artifacts: the files of runs and logged models, by name in the database and by content in blobs.

A client addresses them as `EXPERIMENT/RUN/artifacts/NAME` or
`EXPERIMENT/models/MODEL/artifacts/NAME`. The name is a key of a row and never becomes a path.
"""

import functools
import re
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from thrive.domain.actor import ANYONE, BUILDERS
from thrive.domain.run import Artifact
from thrive.operations import Context
from thrive.server.blobs import BINARY, BlobResponse
from thrive.server.bodies import read_body
from thrive.server.mlflow import multipart
from thrive.server.mlflow.calls import Call, Route
from thrive.server.mlflow.given import Given, body_of
from thrive.server.mlflow.problems import MlflowError, invalid
from thrive.server.mlflow.runs import get_run, numbers_of, run_id_of
from thrive.server.mlflow.shapes import artifact_uri, logged_model_uri
from thrive.server.problems import json_response
from thrive.store import logged_models, runs

LONGEST_PATH = 250
LARGEST_ARTIFACT = 64 << 30
KIND = "file"
_PLACE = re.compile(
    r"(?P<experiment>\d{1,18})/(?:(?P<run>[0-9a-f]{32})|models/(?P<model>m-[0-9a-f]{32}))"
    r"/artifacts(?:/(?P<name>.*))?"
)
_IN_MEMORY = 1 << 20


class Place(msgspec.Struct, frozen=True):
    """What an address names: the run or logged model, and a name in it, empty for all of it."""

    owner: str
    name: str


def place_of(path: str) -> Place:
    """Return what an address of the proxy names.

    Raises:
        MlflowError: it is the address of no run's and no logged model's artifact.
    """
    found = _PLACE.fullmatch(path)
    if found is None:
        raise invalid(f"Invalid path: '{path[:200]}' names no artifact of a run or logged model.")
    return Place(found["run"] or found["model"], checked_path(found["name"] or ""))


def checked_path(name: str) -> str:
    """Return the name of an artifact, without a slash at its end.

    Raises:
        MlflowError: read as a path it would lead elsewhere, or it is too long.
    """
    plain = name.rstrip("/")
    parts = plain.split("/")
    if plain and (any(part in {"", ".", ".."} for part in parts) or _odd(plain)):
        raise invalid(f"Invalid path: '{name[:200]}'.")
    if len(plain) > LONGEST_PATH:
        raise invalid(
            f"The artifact path '{name[:60]}...' has {len(plain)} characters; at most "
            f"{LONGEST_PATH} are kept."
        )
    return plain


def _odd(name: str) -> bool:
    return "\\" in name or any(ord(letter) < 32 for letter in name)


def listing(found: Iterable[Artifact], folder: str) -> list[dict[str, Any]]:
    """Return what lies directly in a folder of artifacts, by name; a file lists nothing."""
    prefix = f"{folder}/" if folder else ""
    entries: dict[str, dict[str, Any]] = {}
    for artifact in found:
        if not artifact.name.startswith(prefix):
            continue
        first, slash, _ = artifact.name[len(prefix) :].partition("/")
        entry: dict[str, Any] = {"path": prefix + first, "is_dir": bool(slash)}
        if not slash:
            entry["file_size"] = artifact.size
        entries[first] = entry
    return [entries[name] for name in sorted(entries)]


def _refuse_unknown(ctx: Context, owner: str) -> None:
    """Refuse what is of no run and no logged model of the project."""
    with ctx.read() as tx:
        if owner.startswith("m-"):
            logged_models.get(tx, ctx.project_id, owner, deleted=True)
        else:
            get_run(tx, ctx.project_id, owner)


def _list_of_run(call: Call) -> dict[str, Any]:
    run_id = run_id_of(call.given)
    folder = checked_path(call.given.maybe_text("path"))
    with call.ctx.read() as tx:
        run = get_run(tx, call.ctx.project_id, run_id)
        number = numbers_of(tx, call.ctx.project_id).get(run.experiment, 0)
        found = runs.artifacts_under(tx, call.ctx.project_id, run_id, folder)
    return {"root_uri": artifact_uri(number, run_id), "files": listing(found, folder)}


def _list_of_model(call: Call) -> dict[str, Any]:
    model_id = call.parts["model_id"]
    folder = checked_path(call.given.maybe_text("artifact_directory_path"))
    with call.ctx.read() as tx:
        model = logged_models.get(tx, call.ctx.project_id, model_id)
        found = runs.artifacts_under(tx, call.ctx.project_id, model_id, folder)
    return {"root_uri": logged_model_uri(model), "files": listing(found, folder)}


ROUTES = (
    Route("GET", "artifacts/list", ANYONE, _list_of_run),
    Route("GET", "logged-models/{model_id}/artifacts/directories", ANYONE, _list_of_model),
)


class ArtifactDoor:
    """Answers everything under `mlflow-artifacts/`.

    Args:
        run: calls a function in a thread.
    """

    def __init__(self, run: Callable[..., Awaitable[Any]]) -> None:
        self._run = run

    async def answer(self, request: Request, ctx: Context, path: str) -> Response:
        """Return the answer to a request.

        Args:
            request: the request.
            ctx: the project and who calls.
            path: what follows `mlflow-artifacts/`.

        Raises:
            MlflowError: the path names nothing, or the caller may not.
        """
        kind, _, name = path.partition("/")
        _permit(request, ctx, kind)
        if kind == "mpu":
            return await self._multipart(request, ctx, name)
        if kind == "presigned":
            return await self._run(_presign, ctx, request, name)
        if kind != "artifacts":
            raise MlflowError("ENDPOINT_NOT_FOUND", "There is no such route.")
        if request.method == "PUT":
            return await self._receive(request, ctx, place_of(name))
        if request.method == "DELETE":
            return await self._run(_delete, ctx, place_of(name))
        if name:
            return await self._run(_send, ctx, place_of(name))
        return await self._run(_list, ctx, request.query_params.get("path", ""))

    async def _multipart(self, request: Request, ctx: Context, path: str) -> Response:
        """Answer `create`, `complete` and `abort` of an upload in parts, and take its parts."""
        step, _, rest = path.partition("/")
        if step == "part" and request.method == "PUT":
            return await self._receive_part(request, ctx, rest)
        if request.method != "POST" or step not in {"create", "complete", "abort"}:
            raise MlflowError("ENDPOINT_NOT_FOUND", "There is no such route.")
        given = Given(body_of(await read_body(request)))
        return await self._run(_step, ctx, request, step, rest, given)

    async def _receive_part(self, request: Request, ctx: Context, path: str) -> Response:
        upload_id, _, rest = path.partition("/")
        number, _, address = rest.partition("/")
        place = place_of(address)
        upload = multipart.checked_upload(place.owner, place.name, upload_id)
        if not (number.isascii() and number.isdecimal() and len(number) < 6):
            raise invalid(f"Invalid value '{number[:40]}' for parameter 'part_number' supplied.")
        with self._spooled(ctx) as file:
            size = await self._spool(request, file)
            digest = await self._run(_blob_of, ctx, file, size)
        await self._run(multipart.keep_part, ctx, upload, int(number), digest, size)
        return json_response({}, headers={"ETag": f'"{digest}"'})

    async def _receive(self, request: Request, ctx: Context, place: Place) -> Response:
        if not place.name:
            raise invalid("Invalid path: a file needs a name.")
        await self._run(_refuse_unknown, ctx, place.owner)
        with self._spooled(ctx) as file:
            size = await self._spool(request, file)
            await self._run(_keep, ctx, place, file, size)
        return json_response({})

    def _spooled(self, ctx: Context) -> Any:
        folder = str(ctx.home.temporary_folder)
        return tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=folder, prefix="artifact-")

    async def _spool(self, request: Request, file: Any) -> int:
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > LARGEST_ARTIFACT:
                raise invalid(f"The artifact is larger than {LARGEST_ARTIFACT:,} bytes.")
            if size > _IN_MEMORY:
                await self._run(file.write, part)
            else:
                file.write(part)
        return size


_METHODS = {
    "artifacts": {"GET", "HEAD", "PUT", "DELETE"},
    "mpu": {"POST", "PUT"},
    "presigned": {"GET"},
}


def _permit(request: Request, ctx: Context, kind: str) -> None:
    if request.method not in _METHODS.get(kind, ()):
        raise MlflowError("ENDPOINT_NOT_FOUND", "There is no such route.")
    role = ANYONE if request.method in {"GET", "HEAD"} else BUILDERS
    if not role & ctx.actor.roles:
        allowed = ", ".join(sorted(role))
        raise MlflowError(
            "PERMISSION_DENIED", f"{ctx.actor.name} may not write artifacts; ask one of: {allowed}"
        )


def _step(ctx: Context, request: Request, step: str, path: str, given: Given) -> Response:
    """Begin, complete or abort an upload in parts of a file in the folder that a path names."""
    file = re.split(r"[/\\]", given.text("path"))[-1]  # a path on the machine of the client
    address = f"{path.rstrip('/')}/{file}"
    place = place_of(address)
    if step == "create":
        _refuse_unknown(ctx, place.owner)
        return json_response(multipart.begin(request, given, address, place.owner, place.name))
    upload = multipart.checked_upload(place.owner, place.name, given.text("upload_id"))
    if step == "complete":
        multipart.complete(ctx, upload, given)
    else:
        multipart.abort(ctx, upload)
    return json_response({})


def _presign(ctx: Context, request: Request, path: str) -> Response:
    place = place_of(path)
    return json_response(multipart.presigned(request, path, _artifact(ctx, place)))


def _artifact(ctx: Context, place: Place) -> Artifact:
    with ctx.read() as tx:
        artifact = runs.find_artifact(tx, ctx.project_id, place.owner, place.name)
    if artifact is None:
        raise MlflowError("RESOURCE_DOES_NOT_EXIST", f"No such artifact: '{place.name}'")
    return artifact


def _keep(ctx: Context, place: Place, file: BinaryIO, size: int) -> None:
    """Keep the bytes of an artifact, and then its row."""
    digest = _blob_of(ctx, file, size)
    artifact = Artifact(
        run_id=place.owner,
        name=place.name,
        kind=KIND,
        digest=digest,
        size=size,
        created_at=ctx.now(),
    )
    with ctx.observe(f"artifact:{place.owner}") as tx:
        runs.save_artifact(tx, ctx.project_id, artifact)


def _blob_of(ctx: Context, file: BinaryIO, size: int) -> str:
    file.seek(0)
    return ctx.home.blobs.put(file.read()) if size <= _IN_MEMORY else _put_large(ctx, file)


def _put_large(ctx: Context, file: BinaryIO) -> str:
    """Keep a file that has no name of its own through the one the system gives its handle."""
    file.flush()
    handle = Path(f"/proc/self/fd/{file.fileno()}")
    if handle.exists():
        return ctx.home.blobs.put_file(handle)
    with tempfile.NamedTemporaryFile(dir=ctx.home.temporary_folder) as copy:
        for part in iter(functools.partial(file.read, _IN_MEMORY), b""):
            copy.write(part)
        copy.flush()
        return ctx.home.blobs.put_file(Path(copy.name))


def _list(ctx: Context, path: str) -> Response:
    place = place_of(path.rstrip("/"))
    with ctx.read() as tx:
        found = runs.artifacts_under(tx, ctx.project_id, place.owner, place.name)
    files = listing(found, place.name)
    for entry in files:
        entry["path"] = entry["path"].rpartition("/")[2]
    return json_response({"files": files})


def _send(ctx: Context, place: Place) -> Response:
    artifact = _artifact(ctx, place)
    headers = {"Content-Disposition": "attachment"}
    path = ctx.home.blobs.local_path(artifact.digest)
    if path is None:
        content = ctx.home.blobs.get(artifact.digest)
        return Response(content, headers=headers, media_type=BINARY)
    return BlobResponse(path, headers=headers, media_type=BINARY, stat_result=path.stat())


def _delete(ctx: Context, place: Place) -> Response:
    """Forget an artifact, or all that lie in a folder."""
    _refuse_unknown(ctx, place.owner)
    with ctx.write(f"artifact:{place.owner}", name=place.name) as tx:
        for artifact in runs.artifacts_under(tx, ctx.project_id, place.owner, place.name):
            if place.name in {"", artifact.name} or artifact.name.startswith(f"{place.name}/"):
                runs.remove_artifact(tx, ctx.project_id, artifact)
    return json_response({})
