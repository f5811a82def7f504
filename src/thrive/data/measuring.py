"""What a version's rows mean: schema, profile, labels and checks, by what its survey shows.

It reads no rows: `surveying` does.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from thrive.data.checks import FAIL, PASS, judge
from thrive.data.findings import Known, Reading, Terms
from thrive.data.questions import is_closed, without_values
from thrive.data.schema import SCHEMA, schema_changes
from thrive.data.survey import Measured, Proposal, Survey, SurveyedColumn
from thrive.domain.dataset import Column, ColumnLabel

ROWS = "rows"
"""The check that a table has any."""
TYPES = "types"
"""What is told of columns that are text though most of their values are not; it fails nothing."""


def measured(survey: Survey, terms: Terms) -> Reading:
    """Return what a table means, by the terms of its dataset."""
    columns = [_column(each, survey.rows, terms) for each in survey.columns]
    hidden = {column.name for column in columns if is_closed(column)}
    return Reading(
        columns=columns,
        profile=_profile(survey, hidden),
        checks=[
            *_rows_check(survey.rows),
            *_schema_checks(columns, terms.known),
            *_type_checks(survey.columns, columns, terms),
            *_checks(survey.checks, terms),
            *survey.faults,
        ],
        sketches=_sketches(survey, hidden),
        people=survey.people,
    )


def _profile(survey: Survey, hidden: set[str]) -> dict[str, Any]:
    """Return the profile as JSON; of hidden columns nothing but counts."""
    columns = without_values({each.name: each.found for each in survey.columns}, hidden)
    return {"rows": survey.rows, "distinct_exact": survey.exact, "columns": columns}


def _sketches(survey: Survey, hidden: set[str]) -> bytes:
    """Pack the sketches of open columns as `profile.pack_sketches` does."""
    packed = {
        each.name: (each.numeric, each.sketch)
        for each in survey.columns
        if each.sketch and each.name not in hidden
    }
    return msgspec.msgpack.encode(packed) if packed else b""


def _checks(found: Sequence[Measured], terms: Terms) -> list[dict[str, Any]]:
    checks = list(zip(terms.data.checks, terms.data.parsed_checks(), strict=True))
    return judge(checks, found, now=terms.now, modified_at=terms.modified_at)


def _rows_check(rows: int) -> list[dict[str, Any]]:
    return [] if rows else [{"check": ROWS, "state": FAIL, "found": "there is none"}]


def _schema_checks(columns: Sequence[Column], known: Known) -> list[dict[str, Any]]:
    if known.agreed is None:
        return []
    return [
        {"check": SCHEMA, "state": FAIL if each.breaks else PASS, "found": each.what}
        for each in schema_changes(known.agreed.columns, columns)
    ]


def _type_checks(
    surveyed: Sequence[SurveyedColumn], columns: Sequence[Column], terms: Terms
) -> list[dict[str, Any]]:
    """Tell of text that is nearly something else, once: not of columns that were agreed on."""
    if terms.typed:
        return []
    known = {each.name for each in terms.known.agreed.columns} if terms.known.agreed else set[str]()
    return [
        {"check": TYPES, "state": PASS, "found": f"{each.name} is text, not {seen.nearly}"}
        for seen, each in zip(surveyed, columns, strict=True)
        if seen.nearly and each.name not in known and not is_closed(each)
    ]


def _column(survey: SurveyedColumn, rows: int, terms: Terms) -> Column:
    known = terms.known.agreed.columns if terms.known.agreed else []
    agreed = {each.name: each.dtype for each in known}
    missing = survey.found["missing"]
    dtype = survey.dtype
    if not terms.typed:
        dtype = _settled_type(dtype, agreed.get(survey.name), empty=missing == rows)
    column = Column(name=survey.name, dtype=dtype, nullable=missing > 0)
    proposal = survey.proposal or _derived(terms, survey.name)
    said = _labelled(column, proposal, terms.data.personal_kinds, terms.known.labels)
    asked = said.personal is None and _is_new_question(said, terms.known)
    return msgspec.structs.replace(said, asked=asked)


def _labelled(
    column: Column,
    proposal: Proposal | None,
    declared: Mapping[str, str],
    confirmed: Mapping[tuple[str, str], ColumnLabel],
) -> Column:
    """Return a column with its label: the contract's word, else what a person confirmed.

    Args:
        column: as it was read.
        proposal: what it seems to hold.
        declared: the contract's `personal`.
        confirmed: what people confirmed, by name and type.
    """
    known = confirmed.get((column.name, column.dtype))
    said = declared.get(column.name) or (known.kind if known else None)
    return msgspec.structs.replace(
        column,
        personal=said,
        proposed=proposal.kind if proposal else None,
        why=proposal.by if proposal else "",
    )


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
