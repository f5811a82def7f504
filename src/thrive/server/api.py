"""One door for all operations: who calls, which operation, its arguments, its answer."""

import functools
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from thrive.client.wire import BLOBS, PREFIX
from thrive.domain.clock import machine_now
from thrive.domain.errors import ThriveError
from thrive.domain.identifiers import new_id
from thrive.domain.project import Job, JobState
from thrive.operations import Context, Kind, Operation, invoke, permit
from thrive.server.arguments import from_body, from_query
from thrive.server.blobs import BlobDoor
from thrive.server.bodies import read_body
from thrive.server.feed import Feed
from thrive.server.keys import Identity, Keys
from thrive.server.openapi import document
from thrive.server.polling import LongPoll
from thrive.server.problems import Problem, json_response, problem_of, unexpected
from thrive.server.projects import Homes
from thrive.server.routes import Route, build_routes
from thrive.server.threads import run_in
from thrive.store import jobs

_logger = logging.getLogger("thrive.server")

MSGPACK = "application/msgpack"
OPENAPI = PREFIX + "openapi.json"


class Api:
    """Answers everything under `/api/`.

    Args:
        homes: the projects.
        operations: what to offer, by name.
        keys: tells who calls.
        pool: where operations run.
        writers: where those run that write: while they wait for each other, reads go on.
    """

    def __init__(
        self,
        homes: Homes,
        operations: Mapping[str, Operation],
        keys: Keys,
        pool: ThreadPoolExecutor,
        writers: ThreadPoolExecutor,
    ) -> None:
        self.routes = build_routes(operations)
        self.feed = Feed(homes, functools.partial(run_in, pool))
        self._long_poll = LongPoll(self.feed)
        self._blobs = BlobDoor(homes, functools.partial(run_in, pool), read_body)
        self._homes = homes
        self._keys = keys
        self._pool = pool
        self._writers = writers
        self._document = functools.cache(lambda: msgspec.json.encode(document(self.routes)))

    async def answer(self, request: Request) -> Response:
        """Return the answer to a request; every error is one of its shapes."""
        request_id: str = request.scope["thrive.id"]
        try:
            return await self._answer(request)
        except Problem as problem:
            return problem.response()
        except ThriveError as error:
            _logger.warning("%s: %.500s", error.code, error.what, extra={"id": request_id})
            return problem_of(error, request_id).response()
        except ClientDisconnect:
            return Problem(
                400, "UsageError", "The caller left before the body was sent."
            ).response()
        except Exception:
            _logger.exception("unexpected", extra={"id": request_id})
            return unexpected(request_id).response()

    async def _answer(self, request: Request) -> Response:
        address = request.client.host if request.client else ""
        identity = await self._keys.identify(request.headers.get("authorization", ""), address)
        request.scope["thrive.actor"] = identity.actor.name
        if request.url.path == OPENAPI and request.method in {"GET", "HEAD"}:
            request.scope["thrive.route"] = OPENAPI
            return Response(self._document(), media_type="application/json")
        if request.url.path.startswith(BLOBS):
            return await self._blobs.answer(request, identity)
        route = self._route(request)
        request.scope["thrive.route"] = route.path
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": ", ".join(route.methods)})
        return await self._call(request, route, identity)

    def _route(self, request: Request) -> Route:
        route = self.routes.get(request.scope["path"])
        if route is None:
            raise Problem(404, "NotFound", "There is no such route.", f"see {OPENAPI}")
        if request.method not in route.methods:
            allowed = ", ".join(route.methods)
            raise Problem(
                405, "UsageError", f"{route.path} takes {allowed}.", headers={"Allow": allowed}
            )
        return route

    async def _call(self, request: Request, route: Route, identity: Identity) -> Response:
        operation = route.operation
        permit(operation, identity.actor)
        arguments = (
            from_body(operation, await read_body(request))
            if route.method == "POST"
            else from_query(operation, request.scope["query_string"])
        )
        if operation.kind is Kind.STREAM:
            return await self.feed.answer(request, identity.project_id, arguments["after"])
        work = functools.partial(
            self._work, operation, identity, arguments, request.headers.get("accept") == MSGPACK
        )
        if "prefer" in request.headers and route.method == "GET":
            ask = functools.partial(run_in, self._pool, work)
            return await self._long_poll.answer(request, identity.project_id, ask)
        return await run_in(self._writers if route.method == "POST" else self._pool, work)

    def _work(
        self, operation: Operation, identity: Identity, arguments: dict[str, Any], packed: bool
    ) -> Response:
        context = Context(
            self._homes.of(identity.project_id), identity.actor, operation=operation.name
        )
        if operation.kind is Kind.JOB:
            result, status = enqueue(context, operation, arguments), 202
        else:
            result, status = invoke(operation, context, arguments), 200
        if packed:
            return Response(msgspec.msgpack.encode(result), status, media_type=MSGPACK)
        return json_response(result, status)


def enqueue(context: Context, operation: Operation, arguments: dict[str, Any]) -> Job:
    """Add the job that a worker does later, in the name of who asked."""
    now = machine_now()
    job = Job(
        job_id=new_id(),
        operation=operation.name,
        arguments=msgspec.to_builtins(arguments),
        state=JobState.WAITING,
        actor=context.actor.name,
        run_at=now,
        created_at=now,
    )
    with context.write(f"job:{job.job_id}", arguments=job.arguments) as tx:
        return jobs.add(tx, context.project_id, job)
