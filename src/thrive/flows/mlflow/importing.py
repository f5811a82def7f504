"""`thrive projects import`: everything that was tracked elsewhere, with counts that must match."""

from enum import StrEnum
from pathlib import Path

import msgspec

from thrive.domain.actor import KEEPERS
from thrive.domain.errors import NotFound, NotRight, UsageError
from thrive.flows.mlflow.database import MlflowDatabase
from thrive.flows.mlflow.folder import MlflowFolder
from thrive.flows.mlflow.server import MlflowServer
from thrive.flows.mlflow.source import Source
from thrive.flows.mlflow.writing import Counts, Importer
from thrive.operations import Context, Kind, operation


class System(StrEnum):
    """What a source is of."""

    MLFLOW = "mlflow"


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What a source holds and what of it is here now, counted on both sides.

    `already` runs were here before; points and artifacts are of the others. `left` says what
    could not be brought, and why.
    """

    source: str
    there: Counts
    here: Counts
    already: int
    left: list[str]


@operation(
    "projects import", kind=Kind.CLIENT, role=KEEPERS, writes=True, next_hint="thrive runs list"
)
def import_project(ctx: Context, system: System, source: str, *, artifacts: str = "") -> Imported:
    """Bring over what was tracked elsewhere: experiments, runs, metrics, files, models, versions.

    The source is only read. Call it again when it was broken off: runs that are here are not
    brought twice. Numbers of experiments may differ here; ids of runs stay.

    Args:
        ctx: the context of the call.
        system: `mlflow`.
        source: a server's address, `sqlite:///mlflow.db`, or a folder `mlruns`.
        artifacts: for a database, the folder its server kept files in; `mlartifacts` beside it by
            default.

    Raises:
        NotFound: there is no such source.
        NotRight: less is here than there.

    Examples:
        thrive projects import mlflow http://127.0.0.1:5000
        thrive projects import mlflow mlruns
    """
    assert system is System.MLFLOW
    importer = Importer(ctx, _opened(ctx.local_folder(), source, artifacts))
    importer.bring()
    done = Imported(
        source=source,
        there=importer.there,
        here=importer.here,
        already=importer.already,
        left=importer.left,
    )
    if done.there != done.here:
        differing = [
            f"{name} {getattr(done.there, name)} there, {getattr(done.here, name)} here"
            for name in Counts.__struct_fields__
            if getattr(done.there, name) != getattr(done.here, name)
        ]
        raise NotRight(
            f"Not everything came over: {', '.join(differing)}; {'; '.join(done.left[:3])}.",
            f"thrive projects import mlflow {source}",
        )
    return done


def _opened(folder: Path, source: str, artifacts: str) -> Source:
    if source.startswith(("http://", "https://")):
        return MlflowServer(source)
    path = (folder / source.removeprefix("sqlite:///").removeprefix("file://")).resolve()
    if not path.exists():
        raise NotFound(f"There is no {path}.", "give a server's address, mlflow.db or mlruns")
    if path.is_dir():
        return MlflowFolder(path)
    if "://" in source and not source.startswith("sqlite:///"):
        raise UsageError(f"{source!r} is not read.", "give a server's address: it reads its own")
    return MlflowDatabase(path, (folder / artifacts) if artifacts else path.parent / "mlartifacts")
