"""Gates: which checks each version of a model passed, side by side."""

from collections.abc import Mapping

import msgspec

from thrive.domain.gate import Answer, Verdict
from thrive.operations import Context
from thrive.store import gates, models

COLUMNS = 8
"""Verdicts of one model side by side, the newest first."""
MODELS = 30
"""Models on one page, by name."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One verdict of the matrix."""

    verdict_id: str
    version: int
    against: int | None
    answer: Answer
    created_at: int


class CheckRow(msgspec.Struct, frozen=True, kw_only=True):
    """One check over the verdicts; a cell is None where a verdict did not ask it."""

    check: str
    group: str
    answers: list[Answer | None]
    said: list[str]


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """The checks of one model by its newest verdicts."""

    model: str
    verdicts: list[Judged]
    rows: list[CheckRow]


class GatesPage(msgspec.Struct, frozen=True, kw_only=True):
    """The matrix of each model that was ever judged, by name.

    Attributes:
        model: the one asked for, "" for all.
        next: what to ask the next page with, None at the end.
    """

    now: int
    model: str
    next: str | None
    matrices: list[Matrix]
    unjudged: list[str]


def load(ctx: Context, words: Mapping[str, str]) -> GatesPage:
    """Return the matrices of all models, of those whose names come after `after`, or of one.

    Raises:
        NotFound: there is no such model.
    """
    asked = words.get("model", "")
    with ctx.read() as tx:
        if asked:
            models.get(tx, ctx.project_id, asked)
        known = [asked] if asked else sorted(m.name for m in models.find(tx, ctx.project_id))
        left = [name for name in known if asked or name > words.get("after", "")]
        names = left[:MODELS]
        found = {
            name: gates.find_verdicts(tx, ctx.project_id, name, limit=COLUMNS) for name in names
        }
    return GatesPage(
        now=ctx.now(),
        model=asked,
        next=names[-1] if len(left) > len(names) else None,
        matrices=[_matrix(name, verdicts) for name, verdicts in found.items() if verdicts],
        unjudged=[name for name, verdicts in found.items() if not verdicts],
    )


def _matrix(name: str, verdicts: list[Verdict]) -> Matrix:
    by_check = [
        {(each.check, each.group): each for each in verdict.results} for verdict in verdicts
    ]
    checks = dict.fromkeys(check for results in by_check for check in results)
    rows: list[CheckRow] = []
    for check, group in checks:
        cells = [results.get((check, group)) for results in by_check]
        rows.append(
            CheckRow(
                check=check,
                group=group,
                answers=[cell.answer if cell else None for cell in cells],
                said=[cell.summary if cell else "" for cell in cells],
            )
        )
    return Matrix(
        model=name,
        verdicts=[
            Judged(
                verdict_id=each.verdict_id,
                version=each.version,
                against=each.against,
                answer=each.answer,
                created_at=each.created_at,
            )
            for each in verdicts
        ],
        rows=sorted(rows, key=lambda row: (row.check, row.group)),
    )
