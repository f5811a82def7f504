"""`data add`: the files of a source are looked at while the rest of the command gets ready.

What reads and writes the database is imported beside that: half of a short command is imports.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from thrive.contract.declared import declared_data
from thrive.domain.actor import CURATORS
from thrive.domain.dataset import AddedVersion
from thrive.operations import Context, Kind, PathText, operation
from thrive.store.place import FOLDER
from thrive.store.quick_imports import quick_imports
from thrive.store.snapshots.keep import storing
from thrive.store.sources.beside import Beside, look_beside
from thrive.store.sources.found import Found


@operation(
    "data add",
    kind=Kind.CLIENT,
    role=CURATORS,
    writes=True,
    next_hint="thrive data show {dataset}@{version}",
)
def add(
    ctx: Context, path: PathText = "", *, name: str = "", owner: str = "", why: str = ""
) -> AddedVersion:
    """Add a version of a dataset: copy it in, profile it, run the contract's checks.

    The same content again gives the version that is there. What the contract says in [data.NAME]
    stands in for what is not given. `thrive.lock` then names the version.

    Args:
        path: a file, a folder or a glob (CSV and TSV, also .gz; CSV in a .zip; Parquet; JSON
            lines); an address (s3://, gs://, az://, https://);
            CONNECTION: select ...; delta:PATH@VERSION; a .dvc.
        name: the dataset; without one, the contract's dataset with this source, or the file's.
        owner: the team that answers for the data.
        why: what the data holds, and what it is kept for.

    Raises:
        NotFound: nothing is at the path.
        UsageError: it cannot be read as a table.
        DiskFull: there is no space; no version was made.

    Examples:
        thrive data add data/flights.csv --name flights
        thrive data add --name flights
        thrive data add s3://lake/flights/ --name flights
        thrive data add "warehouse: select * from flights order by id" --name flights
    """
    beside = _looking(ctx, path, name)
    try:
        with quick_imports():
            from thrive.data import storing

        return storing.add(ctx, path, name=name, owner=owner, why=why, beside=beside)
    finally:
        if beside is not None:
            beside.stop()


def _looking(ctx: Context, path: str, name: str) -> Beside | None:
    """Begin to look at the source, as far as the words of the call and the contract tell it."""
    folder = ctx.local_folder()
    terms = _declared(declared_data(folder), path, name)
    source = path or terms.source
    if not source:
        return None
    survey = partial(_survey, source, terms, folder / FOLDER)
    return look_beside(source, folder, storing(ctx.progress), survey)


class _Terms(msgspec.Struct, frozen=True):
    """What is needed of a contract's terms of a dataset before they are judged."""

    source: str = ""
    checks: list[str] = []
    subject: str = ""


def _declared(data: Mapping[str, Any], path: str, name: str) -> _Terms:
    named = [data[name]] if name in data else []
    by_source = [each for each in data.values() if isinstance(each, dict) and not name]
    matching = named or [each for each in by_source if each.get("source") == path]
    try:
        return msgspec.convert(matching[0], _Terms) if len(matching) == 1 else _Terms()
    except msgspec.ValidationError:
        return _Terms()  # whoever judges the contract says what is wrong


def _survey(source: str, terms: _Terms, home: Path, found: Found) -> bytes:
    """Read the rows, in the process beside: what they are read with is imported there."""
    from thrive.data.survey import Asked
    from thrive.data.surveying import survey_found

    asked = Asked(checks=terms.checks, subject=terms.subject)
    return survey_found(found, source, asked, home)
