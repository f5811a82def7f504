"""The door for bytes: blobs by digest, in parts, under `/api/blobs`. Names of files never cross.

`POST missing` says what must be sent and from which byte; `PUT DIGEST?offset=&size=` takes one
part; `PUT small` takes many small blobs as one msgpack list; `GET DIGEST` gives a blob that the
caller's project uses, also a range of it.
"""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from thrive.client.wire import BLOBS, MISSING, MOST_DIGESTS, SMALL, Digests, MissingBlob
from thrive.data.access import PersonalView, refuse_hidden, view_of
from thrive.domain.actor import AUTHORS, REPORTERS, Actor, Role
from thrive.domain.dataset import DatasetVersion
from thrive.domain.errors import NotFound, Refused
from thrive.domain.identifiers import is_digest
from thrive.domain.reference import parse_reference
from thrive.operations import Context
from thrive.server.keys import Identity
from thrive.server.problems import Problem, json_response
from thrive.server.projects import Homes
from thrive.store import datasets, models, references
from thrive.store.home import Home
from thrive.store.uploads import Uploads

Body = Callable[[Request], Awaitable[bytes]]
BINARY = "application/octet-stream"


class BlobResponse(FileResponse):
    """A file in chunks that are worth a thread's turn."""

    chunk_size = 1 << 20


class BlobDoor:
    """Answers everything under `/api/blobs/`.

    Args:
        homes: the projects.
        run: calls a function in a thread.
        body: reads the body of a request, within limits.
    """

    def __init__(
        self,
        homes: Homes,
        run: Callable[..., Awaitable[Response]],
        body: Body,
    ) -> None:
        self._homes = homes
        self._run = run
        self._body = body

    async def answer(self, request: Request, identity: Identity) -> Response:
        """Return the answer to a request.

        Raises:
            Problem: the request has another form than this door takes.
            ThriveError: of the blob store.
        """
        name = request.url.path.removeprefix(BLOBS)
        request.scope["thrive.route"] = BLOBS + (name if name in {MISSING, SMALL} else "DIGEST")
        methods = _methods(name)
        if request.method not in methods:
            allowed = ", ".join(methods)
            raise Problem(405, "UsageError", f"This takes {allowed}.", headers={"Allow": allowed})
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": ", ".join(methods)})
        if request.method in {"GET", "HEAD"}:
            return await self._run(self._send, identity, name)
        if not identity.actor.roles & REPORTERS:
            raise Refused(f"{identity.actor.name} may not send blobs.", "ask the platform team")
        content = await self._body(request)
        take = {MISSING: self._missing, SMALL: self._take_small}.get(name)
        if take is not None:
            return await self._run(take, identity, content)
        place = _number(request, "offset"), _number(request, "size")
        return await self._run(self._take_part, identity, name, place, content)

    def _home(self, identity: Identity) -> Home:
        return self._homes.of(identity.project_id)

    def _missing(self, identity: Identity, content: bytes) -> Response:
        try:
            asked = msgspec.json.decode(content, type=Digests)
        except msgspec.MsgspecError as error:
            raise Problem(422, "UsageError", f"{error}.", '{"digests": ["..."]}') from None
        if len(asked.digests) > MOST_DIGESTS:
            raise Problem(422, "UsageError", f"At most {MOST_DIGESTS:,} digests can be asked for.")
        missing = Uploads(self._home(identity)).missing(asked.digests)
        return json_response([MissingBlob(digest, at) for digest, at in missing.items()])

    def _take_small(self, identity: Identity, content: bytes) -> Response:
        try:
            blobs = msgspec.msgpack.decode(content, type=list[bytes])
        except msgspec.MsgspecError as error:
            raise Problem(422, "UsageError", f"{error}.", "send a msgpack list of bytes") from None
        if len(blobs) > MOST_DIGESTS:
            raise Problem(422, "UsageError", f"At most {MOST_DIGESTS:,} blobs can be sent at once.")
        return json_response(Digests(Uploads(self._home(identity)).receive_small(blobs)))

    def _take_part(
        self, identity: Identity, digest: str, place: tuple[int, int], content: bytes
    ) -> Response:
        offset, size = place
        here = Uploads(self._home(identity)).receive(digest, offset, size, content)
        return json_response(MissingBlob(digest, here))

    def _send(self, identity: Identity, digest: str) -> Response:
        home = self._home(identity)
        if not _may_read(home, identity.actor, digest):
            raise NotFound(f"There is no blob {digest} in this project.")
        _refuse_closed(home, identity.actor, digest)
        path = home.blobs.local_path(digest)
        if path is None:
            return Response(home.blobs.get(digest), media_type=BINARY)
        return BlobResponse(path, media_type=BINARY, stat_result=path.stat())


def _may_read(home: Home, actor: Actor, digest: str) -> bool:
    """Tell whether a blob is one of the project's, and for a serving host: of a model package."""
    with home.read() as tx:
        users = references.users(tx, home.project_id, digest)
        if actor.roles - {Role.SERVE}:
            return bool(users)
        kept = [name for kind, name in users if kind == "model_version"]
        return any(models.is_packaged(tx, home.project_id, name, digest) for name in kept)


ROWS = frozenset({datasets.KIND, "sealed_log"})
"""What blobs are kept for that hold rows."""


def _refuse_closed(home: Home, actor: Actor, digest: str) -> None:
    """Refuse rows to roles that read none, and personal columns to whoever may not see them.

    Lists of files may be read by everybody: they hold no rows.

    Raises:
        Refused: they are; it says how to be let in.
    """
    ctx = Context(home, actor, operation="data checkout")
    reads_rows = bool(actor.roles & AUTHORS)
    refused: tuple[DatasetVersion, PersonalView] | None = None
    with home.read() as tx:
        users = references.users(tx, home.project_id, digest)
        if any(kind not in ROWS for kind, _ in users):
            reads_rows = True
        for label in (name for kind, name in users if kind == datasets.KIND):
            name, number = parse_reference(label)
            known = datasets.versions(tx, home.project_id, name)
            version = next((each for each in known if each.version == number), None)
            if version is None:
                continue
            view = view_of(tx, ctx, version, {})
            if digest in {version.digest, version.listed_in}:
                return
            if not view.hidden and not view.left_out and reads_rows:
                return
            refused = version, view
    if users and not reads_rows:
        raise Refused(
            f"{actor.name} may not read rows of data.", f"ask one of: {', '.join(sorted(AUTHORS))}"
        )
    if refused is not None:
        refuse_hidden(*refused)


def _methods(name: str) -> tuple[str, ...]:
    if name == MISSING:
        return ("POST", "OPTIONS")
    if name == SMALL:
        return ("PUT", "OPTIONS")
    if is_digest(name):
        return ("GET", "HEAD", "PUT", "OPTIONS")
    raise Problem(404, "NotFound", "There is no such route.", f"{BLOBS}DIGEST, 64 hex digits")


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise Problem(
            422, "UsageError", f"{name}={text[:40]!r} is no number of bytes.", "?offset=0&size=1024"
        )
    return int(text)
