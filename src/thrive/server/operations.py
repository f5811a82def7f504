"""What the server offers: itself."""

from importlib import import_module

import msgspec

from thrive.domain.actor import KEEPERS
from thrive.domain.errors import Conflict, UsageError
from thrive.domain.identifiers import checked_name
from thrive.operations import Context, Kind, operation
from thrive.store.home import connect_home
from thrive.store.place import FOLDER


class ServerStopped(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server was reached until it was stopped."""

    url: str


@operation("server", kind=Kind.CLIENT, role=KEEPERS, next_hint="thrive status")
def server(
    ctx: Context,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    allow_host: list[str] | None = None,
    worker: bool = True,
    database: str = "",
    objects: str = "",
    project: str = "",
) -> ServerStopped:
    """Offer the project to a team over HTTP until stopped: REST, pages, probes, jobs.

    Programs on this machine find it through `.thrive/server.json`, which its owner alone can
    read. Log lines are JSON on standard error. Ctrl-C or SIGTERM finishes what has come, then
    stops.

    Args:
        host: the address to listen on; one that other machines reach asks for a created token.
        port: the port; 0 takes a free one.
        allow_host: a name the server is reached by, beside its address; repeat for more.
        worker: execute jobs here, in a process of its own.
        database: a team's database, postgresql://user@host/name, instead of this folder's.
        objects: a team's object store, s3://bucket/prefix; keys come from AWS_* variables.
        project: the project in that database; created if it is not there.

    Raises:
        Refused: other machines would reach the address and no token was created.
        Conflict: a server of this folder runs already, or the folder holds a home of its own.
        UsageError: only some of database, objects and project are given.

    Examples:
        thrive server
        thrive server --host 0.0.0.0 --allow-host thrive.example.org
        thrive server --database postgresql://db/thrive --objects s3://models --project flights
    """
    ctx = _team_context(ctx, database, objects, project) if database or objects or project else ctx
    # Starlette is for servers alone: importing it here would slow every command down
    process, hosting = (import_module(f"thrive.server.{part}") for part in ("process", "hosting"))
    options = process.ServerOptions(host=host, port=port, allow_hosts=tuple(allow_host or ()))
    return ServerStopped(url=hosting.host_projects(ctx, options, with_worker=worker))


def _team_context(ctx: Context, database: str, objects: str, project: str) -> Context:
    """Return the context of a team's project; this folder keeps its logs and caches alone."""
    if not (database and objects and project):
        raise UsageError(
            "A team's home is a database, an object store and a project.",
            "thrive server --database URL --objects URL --project NAME",
        )
    folder = ctx.local_folder()
    if (folder / FOLDER / "thrive.db").exists():
        raise Conflict(
            f"{folder} holds a project with a database of its own.",
            "start the server in another folder",
        )
    name = checked_name(project, "project")
    home = connect_home(database, objects, name, folder / FOLDER, create=True)
    return Context(home, ctx.actor, folder=folder, progress=ctx.progress, operation=ctx.operation)
