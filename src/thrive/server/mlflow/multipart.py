"""Large artifacts in parts, sent side by side, and read in ranges: what clients do when told to.

The parts are blobs of their own with rows that say which they are, so that each may come to
another server; the whole is kept under its name once all are there, and what is never completed
ends like any upload. A client sends a part, or reads a range, to an address it was given, with
headers it was given: its own authorization, so that these routes ask who calls as all others do.
"""

import tempfile
from pathlib import Path
from typing import Any

import msgspec
from blake3 import blake3
from starlette.requests import Request

from thrive.domain.clock import machine_now
from thrive.domain.identifiers import is_id, new_id
from thrive.domain.run import Artifact
from thrive.operations import Context
from thrive.server.mlflow.given import Given
from thrive.server.mlflow.problems import invalid
from thrive.store import runs, upload_parts
from thrive.store.disk import full_disk

MOST_PARTS = 10_000
PART_ROUTE = "mpu/part"


class Upload(msgspec.Struct, frozen=True):
    """One upload under way: whose artifact it will be, and its id."""

    owner: str
    name: str
    upload_id: str

    @property
    def key(self) -> str:
        """What its parts are found by: an id is of no use with another name."""
        return blake3(f"{self.owner}\0{self.name}\0{self.upload_id}".encode()).hexdigest()


def checked_upload(owner: str, name: str, upload_id: str) -> Upload:
    """Return an upload of the form of ours.

    Raises:
        MlflowError: the id is none.
    """
    if not is_id(upload_id):
        raise invalid(f"Invalid value \"{upload_id[:80]}\" for parameter 'upload_id' supplied.")
    return Upload(owner, name, upload_id)


def begin(request: Request, given: Given, place: str, owner: str, name: str) -> dict[str, Any]:
    """Return the id of a new upload, and where each of its parts is sent.

    Args:
        request: of whoever begins it; its authorization goes with each part.
        given: `num_parts`.
        place: the address of the artifact below the proxy.
        owner: the run or logged model.
        name: the artifact.
    """
    upload = Upload(owner, name, new_id())
    count = given.count("num_parts", 1, MOST_PARTS)
    base = f"{_root(request)}{PART_ROUTE}/{upload.upload_id}"
    headers = _own_headers(request)
    credentials = [
        {"url": f"{base}/{number}/{place}", "part_number": number, "headers": headers}
        for number in range(1, count + 1)
    ]
    return {"upload_id": upload.upload_id, "credentials": credentials}


def presigned(request: Request, place: str, artifact: Artifact) -> dict[str, Any]:
    """Return where an artifact can be read in ranges, and how large it is."""
    url = f"{_root(request)}artifacts/{place}"
    return {"url": url, "headers": _own_headers(request), "file_size": artifact.size}


def _root(request: Request) -> str:
    """Return the address of the proxy as the caller reached it; the host has been checked."""
    scheme = request.headers.get("x-forwarded-proto", request.url.scheme)
    prefix = request.url.path.partition("/mlflow-artifacts/")[0]
    safe = "https" if scheme == "https" else "http"
    return f"{safe}://{request.headers['host']}{prefix}/mlflow-artifacts/"


def _own_headers(request: Request) -> dict[str, str]:
    headers = {"Authorization": request.headers.get("authorization", "")}
    return headers | {"Content-Type": "application/octet-stream"}


def keep_part(ctx: Context, upload: Upload, number: int, digest: str, size: int) -> None:
    """Write that a part is here; one that is sent again takes the place of the first."""
    if not 1 <= number <= MOST_PARTS:
        raise invalid(f"Invalid value {number} for parameter 'part_number' supplied.")
    part = upload_parts.Part(
        digest=upload.key, first_byte=number, bytes=size, part=digest, at=machine_now()
    )
    with ctx.home.write() as tx:
        upload_parts.replace(tx, ctx.project_id, part)


def complete(ctx: Context, upload: Upload, given: Given) -> None:
    """Join the parts of an upload, keep the whole as an artifact, and forget the parts.

    Raises:
        MlflowError: one is not here, or is another than the client sent.
    """
    with ctx.read() as tx:
        parts = {part.first_byte: part for part in upload_parts.of(tx, ctx.project_id, upload.key)}
    wanted = {one.integer("part_number"): one.maybe_text("etag") for one in given.objects("parts")}
    for number, etag in wanted.items():
        known = parts.get(number)
        if known is None or (etag and etag.strip('"') != known.part):
            raise invalid(f"Part {number} of the upload {upload.upload_id} did not arrive whole.")
    if not wanted:
        raise invalid("Missing value for required parameter 'parts'.")
    size = sum(parts[number].bytes for number in wanted)
    digest = _joined(ctx, [parts[number].part for number in sorted(wanted)])
    artifact = Artifact(
        run_id=upload.owner,
        name=upload.name,
        kind="file",
        digest=digest,
        size=size,
        created_at=ctx.now(),
    )
    with ctx.observe(f"artifact:{upload.owner}") as tx:
        runs.save_artifact(tx, ctx.project_id, artifact)
        upload_parts.forget(tx, ctx.project_id, upload.key)


def _joined(ctx: Context, digests: list[str]) -> str:
    folder = ctx.home.temporary_folder
    with full_disk(folder), tempfile.NamedTemporaryFile(dir=folder, prefix="joined-") as whole:
        for digest in digests:
            whole.write(ctx.home.blobs.get(digest))
        whole.flush()
        return ctx.home.blobs.put_file(Path(whole.name))


def abort(ctx: Context, upload: Upload) -> None:
    """Forget the parts of an upload."""
    with ctx.home.write() as tx:
        upload_parts.forget(tx, ctx.project_id, upload.key)
