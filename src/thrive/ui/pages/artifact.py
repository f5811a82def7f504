"""The bytes of an artifact: pictures to look at, everything else to keep; nothing is ever run."""

from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from thrive.domain.errors import NotFound, UsageError
from thrive.operations import Context
from thrive.store import runs

LARGEST = 64 << 20
_PICTURES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
}


class ArtifactFile(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered."""

    data: bytes
    media_type: str
    headers: dict[str, str]


def load(ctx: Context, words: Mapping[str, str]) -> ArtifactFile:
    """Return the artifact `name` of a run.

    Raises:
        NotFound: there is no such run or artifact.
        UsageError: it is too large for a page.
    """
    with ctx.read() as tx:
        run = runs.get(tx, ctx.project_id, words["run"])
        name = words.get("name", "")
        found = runs.find_artifact(tx, ctx.project_id, run.run_id, name)
    if found is None:
        raise NotFound(f"The run has no artifact {name[:60]!r}.", f"thrive runs show {run.run_id}")
    if found.size > LARGEST:
        raise UsageError(
            f"{name[:60]!r} has {found.size:,} bytes.", f"thrive runs show {run.run_id}"
        )
    picture = _PICTURES.get(name.rpartition(".")[2].lower())
    safe = quote(name.rpartition("/")[2], safe="")
    kept = "inline" if picture else "attachment"
    return ArtifactFile(
        data=ctx.home.blobs.get(found.digest),
        media_type=picture or "application/octet-stream",
        headers={
            "Content-Disposition": f"{kept}; filename*=UTF-8''{safe}",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        },
    )
