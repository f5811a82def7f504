"""Markdown for a merge request or a job summary: one table, worst first, always below 60 kB."""

import re

from thrive.domain.gate import Answer, CheckResult
from thrive.gates.formats.wording import command, settles, title, worst_first
from thrive.gates.gate_file import GateFile

LARGEST = 60_000
"""Bytes; a comment on GitHub holds 65 536 characters."""
LONGEST_CELL = 600
MARKER = "<!-- thrive gates: {model} -->"
"""Names the comment of a model, so that a later run finds it and writes over it."""
SIGNS = {Answer.PASS: "✅", Answer.FAIL: "❌", Answer.CANNOT_TELL: "❔"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")


def markdown(found: GateFile) -> str:
    """Return the verdict as Markdown."""
    verdict = found.verdict
    head = [
        MARKER.format(model=verdict.model),
        f"### {SIGNS[verdict.answer]} `{title(verdict).replace('`', '')}`: {verdict.answer.value}",
        "",
        "| | check | found | rows |",
        "|---|---|---|---|",
    ]
    foot = [
        "",
        f"`{command(verdict)}` judges it again.",
        f"`thrive gates explain {verdict.verdict_id}` says what each check asks.",
        f"Record `{verdict.record[:16]}`, signed by `{verdict.signed_by[:16]}`.",
    ]
    rows = [_row(one) for one in worst_first(verdict.results)]
    return "\n".join([*head, *_fitting(rows, head + foot), *foot]) + "\n"


def _row(one: CheckResult) -> str:
    note = " (informs)" if one.advisory else ""
    name = f"{_safe(one.group)}: {_safe(one.check)}{note}"
    return f"| {SIGNS[one.answer]} | {name} | {_safe(one.summary)} | {_safe(settles(one))} |"


def _fitting(rows: list[str], around: list[str]) -> list[str]:
    """Return as many rows as fit, and a row that counts the rest."""
    left = LARGEST - sum(len(line.encode()) + 1 for line in around) - 200
    kept: list[str] = []
    for row in rows:
        left -= len(row.encode()) + 1
        if left < 0:
            more = len(rows) - len(kept)
            return [*kept, f"| | and {more} more checks | see the gate file | |"]
        kept.append(row)
    return kept


def _safe(text: str) -> str:
    """Return text of others as one cell: no markup, no mention, one line.

    An invisible space parts `@` from what follows, so that nobody is called by a slice's name.
    """
    line = " ".join(text.split())
    cut = line if len(line) <= LONGEST_CELL else f"{line[:LONGEST_CELL]}…"
    return _SPECIAL.sub(r"\\\1", cut).replace("@", "@\u200b")
