"""The door of the protocol: who calls, which route, its fields, its answer."""

import functools
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from thrive.domain.errors import ThriveError
from thrive.operations import Context
from thrive.server.bodies import read_body
from thrive.server.keys import Identity, Keys
from thrive.server.mlflow.artifacts import ArtifactDoor
from thrive.server.mlflow.calls import Call, Route
from thrive.server.mlflow.given import Given, body_of, query_of
from thrive.server.mlflow.logbook import Entry, Logbook
from thrive.server.mlflow.paths import PREFIXES, SERVER_INFO, VERSION, is_artifact
from thrive.server.mlflow.problems import MlflowError, refusal, refusal_of
from thrive.server.mlflow.routes import ROUTES, RouteTable
from thrive.server.problems import Problem, json_response
from thrive.server.projects import Homes
from thrive.server.threads import run_in
from thrive.tracking.search import RunIndex, index_of
from thrive.version import __version__

_logger = logging.getLogger("thrive.server")

_INFO = {
    "store_type": "SqlStore",
    "workspaces_enabled": False,
    "multipart_uploads_enabled": True,
    "multipart_downloads_enabled": True,
}

_NOTHING = json_response({})
"""The answer to whatever was logged: the same one each time."""


class MlflowDoor:
    """Answers everything that an MLflow client asks.

    Args:
        homes: the projects.
        keys: tells who calls.
        pool: where handlers run.
    """

    def __init__(self, homes: Homes, keys: Keys, pool: ThreadPoolExecutor) -> None:
        self._homes = homes
        self._keys = keys
        self._run = functools.partial(run_in, pool)
        self._table = RouteTable(ROUTES)
        self._artifacts = ArtifactDoor(self._run)
        self._logbook = Logbook(self._run)

    async def answer(self, request: Request) -> Response:
        """Return the answer to a request; every error is in the protocol's words."""
        request_id: str = request.scope["thrive.id"]
        try:
            return await self._answer(request)
        except (MlflowError, Problem) as error:
            return refusal_of(error, request_id)
        except ThriveError as error:
            _logger.warning("%s: %.500s", error.code, error.what, extra={"id": request_id})
            return refusal_of(error, request_id)
        except ClientDisconnect:
            return refusal("BAD_REQUEST", "The caller left before the body was sent.")
        except Exception:
            _logger.exception("unexpected", extra={"id": request_id})
            message = f"The server failed; look for {request_id} in its log."
            return refusal("INTERNAL_ERROR", message)

    async def _answer(self, request: Request) -> Response:
        path: str = request.scope["path"]
        request.scope["thrive.route"] = "mlflow"
        if path == VERSION:
            return Response(__version__, media_type="text/plain")
        if path.endswith(SERVER_INFO) and path.startswith(("/api/3.0/", "/ajax-api/3.0/")):
            return json_response(_INFO)
        identity = await self._identify(request)
        if is_artifact(path):
            request.scope["thrive.route"] = "mlflow-artifacts"
            name = path.partition("/mlflow-artifacts/")[2]
            return await self._artifacts.answer(request, self._context(identity, name), name)
        return await self._call(request, identity, path)

    async def _identify(self, request: Request) -> Identity:
        scope = request.scope  # its headers are looked through once, not made a mapping of
        sent = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        address = scope["client"][0] if scope["client"] else ""
        identity = await self._keys.identify(sent.decode("latin-1"), address)
        scope["thrive.actor"] = identity.actor.name
        return identity

    def _context(self, identity: Identity, name: str) -> Context:
        home = self._homes.of(identity.project_id)
        return Context(home, identity.actor, operation=f"mlflow {name}"[:200])

    async def _call(self, request: Request, identity: Identity, path: str) -> Response:
        name = next((path.removeprefix(each) for each in PREFIXES if path.startswith(each)), "")
        found = self._table.find(request.method, name)
        if found is None:
            raise MlflowError("ENDPOINT_NOT_FOUND", f"There is no {request.method} {path[:200]}.")
        route, parts = found
        request.scope["thrive.route"] = f"mlflow/{route.path}"
        if not route.role & identity.actor.roles:
            allowed = ", ".join(sorted(route.role))
            raise MlflowError(
                "PERMISSION_DENIED",
                f"{identity.actor.name} may not {request.method} {route.path}; "
                f"ask one of: {allowed}",
            )
        if request.method == "GET":
            fields = query_of(request.scope["query_string"])
            return await self._finished(route, identity, fields, parts)
        body = await read_body(request)
        entry = route.fast(body) if route.fast else None
        if entry is not None:
            return await self._logged(identity, route, entry)
        return await self._finished(route, identity, body_of(body), parts)

    async def _finished(
        self, route: Route, identity: Identity, fields: dict[str, Any], parts: Any
    ) -> Response:
        done = await self._run(self._work, route, identity, Given(fields), parts)
        return await self._logged(identity, route, done) if isinstance(done, Entry) else done

    def _work(self, route: Route, identity: Identity, given: Given, parts: Any) -> Response | Entry:
        ctx = self._context(identity, route.path)
        answer = route.handler(Call(ctx, given, parts, self._index(identity)))
        return answer if isinstance(answer, Entry) else json_response(answer)

    async def _logged(self, identity: Identity, route: Route, entry: Entry) -> Response:
        await self._logbook.write(self._context(identity, route.path), entry)
        return _NOTHING

    def _index(self, identity: Identity) -> RunIndex:
        return index_of(self._homes.of(identity.project_id))
