"""A dataset's checks, evaluated on a table: which hold, and what was found where one does not."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from thrive.contract.checks import Between, Check, Expect, Fresh, NotNull, Unique, Volume
from thrive.data.survey import Measured
from thrive.domain.clock import format_duration, format_time

if TYPE_CHECKING:
    import polars as pl

PASS = "pass"  # noqa: S105 - a verdict, no secret
FAIL = "fail"
ZEROS = "leading zeros"
"""What is told of whole numbers that begin with a zero, as postal codes and account numbers do."""


def measure_checks(
    frame: "pl.LazyFrame", schema: Mapping[str, Any], checks: Sequence[Check]
) -> list[Measured]:
    """Return what each check finds in a table, for `judge`; all are measured in one pass.

    Args:
        frame: the rows.
        schema: the table's columns and types.
        checks: as they were parsed.
    """
    import polars as pl

    problems = [problem_with(each, schema) for each in checks]
    expressions: list[pl.Expr] = [pl.len().alias("rows")]
    for index, check in enumerate(checks):
        if problems[index] is None:
            expressions.append(_measure(check, schema).alias(str(index)))
    row = frame.select(expressions).collect(engine="streaming").row(0, named=True)
    values = [row.get(str(index)) for index in range(len(checks))]
    return [
        Measured(problem=problem, value=None if value is None else int(value))
        for problem, value in zip(problems, values, strict=True)
    ]


def _absent(name: str, schema: Mapping[str, Any]) -> str:
    import difflib  # for mistakes alone

    near = difflib.get_close_matches(name, schema, n=1)
    return f"there is no column {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def problem_with(check: Check, schema: Mapping[str, Any]) -> str | None:
    """Return why a check cannot be measured on such columns, None if it can."""
    missing = [name for name in _columns(check) if name not in schema]
    if missing:
        return _absent(missing[0], schema)
    if isinstance(check, Between) and not schema[check.column].is_numeric():
        return f"{check.column!r} is {schema[check.column]}, not a number"
    if isinstance(check, Fresh) and check.column and not schema[check.column].is_temporal():
        return f"{check.column!r} is {schema[check.column]}, not a time"
    if isinstance(check, Expect):
        return _problem_with_expression(check, schema)
    return None


def _problem_with_expression(check: Expect, schema: Mapping[str, Any]) -> str | None:
    """Return why an expression has no answer on such columns: its grammar, or a type."""
    import polars as pl

    try:
        pl.sql_expr(check.expression)
    except pl.exceptions.PolarsError:
        return 'it is no expression; write e.g. "expect(arrival >= departure)"'
    try:
        answer = pl.DataFrame(schema=dict(schema)).select(answer=pl.sql_expr(check.expression))
    except pl.exceptions.PolarsError:
        return "it cannot be judged on columns of these types"
    kind = answer.schema["answer"]
    return None if kind == pl.Boolean else f"its answer is {kind}, not yes or no"


def _columns(check: Check) -> Sequence[str]:
    match check:
        case Unique() | NotNull() | Expect():
            return check.columns
        case Between():
            return (check.column,)
        case Fresh():
            return (check.column,) if check.column else ()
        case Volume():
            return ()


def _measure(check: Check, schema: Mapping[str, Any]) -> "pl.Expr":
    import polars as pl

    match check:
        case Unique():
            return pl.len() - pl.struct(check.columns).n_unique()
        case NotNull():
            return pl.any_horizontal(pl.col(name).is_null() for name in check.columns).sum()
        case Between():
            return (~pl.col(check.column).is_between(check.low, check.high)).sum()
        case Expect():
            return (~pl.sql_expr(check.expression)).sum()
        case Fresh():
            return _newest([check.column] if check.column else moments_of(schema))
        case Volume():
            return pl.len()


def moments_of(schema: Mapping[str, Any]) -> list[str]:
    """Return the columns that hold dates or moments."""
    import polars as pl

    return [name for name, kind in schema.items() if kind.is_(pl.Date) or kind == pl.Datetime]


def _newest(names: Sequence[str]) -> "pl.Expr":
    """Return the newest value of some columns in UTC microseconds; null if there is none."""
    import polars as pl

    moments = [pl.col(name).cast(pl.Datetime("us")).dt.epoch("us").max() for name in names]
    return pl.max_horizontal(moments) if moments else pl.lit(None, pl.Int64)


def judge(
    checks: Sequence[tuple[str, Check]],
    measured: Sequence[Measured],
    *,
    now: int,
    modified_at: int,
) -> list[dict[str, Any]]:
    """Return the answer of each check: `{"check": text, "state": pass | fail, "found": words}`.

    Args:
        checks: each check as it is written and as it was parsed.
        measured: what each found, of `measure_checks`.
        now: the project's present moment, UTC microseconds.
        modified_at: when the newest source file was written: the age of data without any time.
    """
    answers: list[dict[str, Any]] = []
    for (text, check), told in zip(checks, measured, strict=True):
        found = told.problem
        if found is None:
            found = _violation(check, told.value, now, modified_at)
        state = FAIL if found else PASS
        answers.append({"check": text, "state": state, "found": found or ""})
    return answers


def _violation(check: Check, measured: Any, now: int, modified_at: int) -> str:
    """Return what is wrong in words, empty if nothing is."""
    match check:
        case Unique():
            return _of_rows(measured, "repeats", "repeat", "another")
        case NotNull():
            return _of_rows(measured, "lacks", "lack", "a value")
        case Between():
            return _of_rows(measured, "lies", "lie", "outside")
        case Expect():
            return _of_rows(measured, "breaks", "break", "it")
        case Volume():
            inside = check.low <= measured <= check.high
            return "" if inside else f"there are {measured:,} rows"
        case Fresh():
            newest = modified_at if measured is None else int(measured)
            age = now - newest
            late = age > check.within_us
            return (
                f"the newest is of {format_time(newest)}, {format_duration(age)} ago"
                if late
                else ""
            )


def _of_rows(count: int | None, one: str, many: str, what: str) -> str:
    """Return what so many rows do, in words; empty if there are none."""
    if not count:
        return ""
    return f"1 row {one} {what}" if count == 1 else f"{count:,} rows {many} {what}"
