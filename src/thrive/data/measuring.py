"""What a version's rows mean: schema, profile, labels and checks, from one reading of a table.

It works on a table alone: how files are stored and read is the work of others.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from thrive.data.checks import FAIL, PASS, check_query, judge
from thrive.data.findings import Known, Reading, Terms
from thrive.data.labels import Proposal, labelled, propose
from thrive.data.profile import Profile, pack_sketches, profile
from thrive.data.questions import is_closed
from thrive.data.schema import SCHEMA, schema_changes
from thrive.domain.dataset import Column
from thrive.domain.errors import UsageError
from thrive.store.snapshots.tables import TORN

if TYPE_CHECKING:
    import polars as pl

ROWS = "rows"
"""The check that a table has any."""
_NO_TEXT = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\ufffd]")


def read_table(
    scan: "Callable[[bool], pl.LazyFrame]",
    source: str,
    fits: "Callable[[pl.LazyFrame], bool]",
    terms: Terms,
) -> Reading:
    """Profile a table's rows, propose labels, and judge schema and checks.

    Args:
        scan: gives the table; its argument asks for types guessed from every row.
        source: what the user named, for messages.
        fits: tells whether the table may be read into memory.
        terms: by what it is judged.

    Raises:
        UsageError: the files cannot be read as one table; the message holds none of its values.
    """
    import polars as pl

    try:
        try:
            first = scan(False)
            _refuse_no_text(source, first.collect_schema().names())
            return measure(_held(first, fits), terms)
        except pl.exceptions.ComputeError:  # types guessed from the first rows did not hold
            return measure(_held(scan(True), fits), terms)
    except (pl.exceptions.PolarsError, *TORN) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's, not the file's
        raise UsageError(
            f"{source} cannot be read as a table: {_without_values(error)}.", _remedy(error)
        ) from None


def _remedy(error: Exception) -> str:
    is_other_text = "utf-8" in str(error).lower()
    return "save it as UTF-8, if it is text" if is_other_text else "correct the file"


def _refuse_no_text(source: str, names: Sequence[str]) -> None:
    """Refuse a file whose first line is no line of text: what follows would be read as anything."""
    if any(_NO_TEXT.search(name) for name in names):
        raise UsageError(
            f"{source} cannot be read as a table: its first line is not text.",
            "give the file the ending of what it is, or put it into a folder and add that",
        )


def _held(
    frame: "pl.LazyFrame", fits: "Callable[[pl.LazyFrame], bool]"
) -> "pl.LazyFrame | pl.DataFrame":
    return frame.collect() if fits(frame) else frame


def _without_values(error: Exception) -> str:
    """Return the first line of a reader's message without what it quotes from the data."""
    line = str(error).strip().split("\n", 1)[0].rstrip(".")
    return re.sub(r"`[^`]*`|\"[^\"]*\"", "`...`", line)[:200]


def measure(table: "pl.LazyFrame | pl.DataFrame", terms: Terms) -> Reading:
    """Return what a table means, by the terms of its dataset."""
    import polars as pl

    found = profile(table)
    frame = table.lazy() if isinstance(table, pl.DataFrame) else table
    schema = frame.collect_schema()
    columns = _columns(schema, found, terms)
    hidden = {column.name for column in columns if is_closed(column)}
    open_sketches = {name: each for name, each in found.sketches.items() if name not in hidden}
    return Reading(
        columns=columns,
        profile=found.closed(hidden),
        checks=[
            *_rows_check(found.rows),
            *_schema_checks(columns, terms.known),
            *_checks(frame, schema, terms),
        ],
        sketches=pack_sketches(open_sketches) if open_sketches else b"",
        people=_people(table, terms.data.subject),
    )


def _people(table: "pl.LazyFrame | pl.DataFrame", subject: str) -> "pl.Series | None":
    import polars as pl

    if not isinstance(table, pl.DataFrame) or subject not in table.columns:
        return None
    return table.get_column(subject)


def _checks(frame: "pl.LazyFrame", schema: Mapping[str, Any], terms: Terms) -> list[dict[str, Any]]:
    checks = list(zip(terms.data.checks, terms.data.parsed_checks(), strict=True))
    if not checks:
        return []
    query = check_query(frame, schema, [check for _, check in checks])
    measured = query.collect(engine="streaming").row(0, named=True)
    return judge(checks, schema, measured, now=terms.now, modified_at=terms.modified_at)


def _rows_check(rows: int) -> list[dict[str, Any]]:
    return [] if rows else [{"check": ROWS, "state": FAIL, "found": "there is none"}]


def _schema_checks(columns: Sequence[Column], known: Known) -> list[dict[str, Any]]:
    if known.agreed is None:
        return []
    return [
        {"check": SCHEMA, "state": FAIL if each.breaks else PASS, "found": each.what}
        for each in schema_changes(known.agreed.columns, columns)
    ]


def _columns(schema: "pl.Schema", found: Profile, terms: Terms) -> list[Column]:
    known = terms.known.agreed.columns if terms.known.agreed else []
    agreed = {each.name: each.dtype for each in known}
    made: list[Column] = []
    for name, kind in schema.items():
        missing = found.columns[name]["missing"]
        dtype = str(kind)
        if not terms.typed:
            dtype = _settled_type(dtype, agreed.get(name), empty=missing == found.rows)
        column = Column(name=name, dtype=dtype, nullable=missing > 0)
        proposal = propose(name, found.samples.get(name), kind) or _derived(terms, name)
        said = labelled(column, proposal, terms.data.personal_kinds, terms.known.labels)
        asked = said.personal is None and _is_new_question(said, terms.known)
        made.append(msgspec.structs.replace(said, asked=asked))
    return made


def _derived(terms: Terms, name: str) -> Proposal | None:
    origin = terms.derived.get(name)
    return Proposal(kind=origin.kind, share=0.0, by=origin.why) if origin else None


def _settled_type(guessed: str, agreed: str | None, *, empty: bool) -> str:
    """Return the type of a column of text: the one it had, where its values do not speak against.

    Without a single value there is nothing to guess from, and whole numbers are numbers too.
    """
    fits = empty or (guessed, agreed) == ("Int64", "Float64")
    return agreed if agreed is not None and fits else guessed


def _is_new_question(column: Column, known: Known) -> bool:
    """Tell whether a person must say what an unlabelled column holds.

    It looks like personal data, or it was not there when the dataset was last looked at.
    """
    if column.proposed is not None:
        return True
    if known.previous is None:
        return False
    before = {each.name: each for each in known.previous.columns}.get(column.name)
    return before is None or before.asked
