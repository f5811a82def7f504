"""Gates run with what other rooms know of a version: the duties that will block its release."""

from pathlib import Path

from thrive.domain.actor import BUILDERS
from thrive.domain.errors import UsageError
from thrive.domain.gate import Answer, CheckResult, Judged, Verdict
from thrive.domain.model import ModelVersion
from thrive.domain.reference import format_reference
from thrive.gates.files_out import Wanted, write_outputs
from thrive.gates.keep import export
from thrive.gates.run import judge, judge_each
from thrive.governance.evaluate import blocking_ahead
from thrive.governance.records import read_records
from thrive.operations import Context, Kind, operation
from thrive.store import models

TOLD = 5
"""So many duties stand in the words of the check; all of them in its evidence."""


@operation("gates run", role=BUILDERS, kind=Kind.JOB, writes=True)
def run(
    ctx: Context,
    model: str = "",
    *,
    against: str = "production",
    json: Path | None = None,
    junit: Path | None = None,
    markdown: Path | None = None,
    metrics: Path | None = None,
    sarif: Path | None = None,
) -> Verdict:
    """Judge a version on evidence, against what is in production.

    While production is empty the version must be better than the contract's baseline. Exit code 0
    means pass, 1 fail, 3 cannot tell.

    Args:
        model: MODEL or MODEL@VERSION; the newest version if no number is given, the only model if
            nothing is.
        against: production, baseline, or the number of another version.
        json: a file for the signed verdict with its records, for `thrive gates verify`.
        junit: a file for JUnit XML, one test case a check.
        markdown: a file for a table, worst first, below 60 kB; added to a job summary.
        metrics: a file for OpenMetrics text, as GitLab compares it.
        sarif: a file for the findings that have a line in a file.

    Examples:
        thrive gates run flight-delay
        thrive gates run flight-delay@3 --against 1
        thrive gates run --junit gate.xml --markdown gate.md --json gate.json
    """
    wanted = Wanted(
        folder=ctx.folder or Path(),
        json=json,
        junit=junit,
        markdown=markdown,
        metrics=metrics,
        sarif=sarif,
    )
    if wanted.any:
        ctx.local_folder()
        wanted.refuse_unwritable()
    found = judge(ctx, model or _only_model(ctx), against, blocking_duties)
    if wanted.any:
        write_outputs(export(ctx, found), wanted)
    return found


def _only_model(ctx: Context) -> str:
    with ctx.read() as tx:
        known = [each.name for each in models.find(tx, ctx.project_id)]
    if len(known) != 1:
        names = ", ".join(known) or "none is registered"
        raise UsageError(f"Which model? There are: {names}.", "thrive gates run MODEL")
    return known[0]


def judge_registered(ctx: Context, labels: list[str]) -> list[Judged]:
    """Judge what a run registered, MODEL@VERSION each, against what is in production.

    Raises:
        UsageError: a version has no evaluation table.
    """
    return judge_each(ctx, labels, blocking_duties)


def blocking_duties(ctx: Context, version: ModelVersion) -> CheckResult:
    """Tell which duties will block the release of a version, with their law and what to type.

    It informs, and is of the group of what differs from run to run: a duty is met by an answer, an
    exception or a report, and none of them changes what was judged.
    """
    label = format_reference(version.model, version.version)
    found = blocking_ahead(read_records(ctx, label))
    told = [f"{each.cited} ({each.title}): {each.fix}" for each in found[:TOLD]]
    if len(found) > TOLD:
        told.append(f"{len(found) - TOLD} more: thrive duties list {label}")
    noun = "duty" if len(found) == 1 else "duties"
    words = f"A release will be refused for {len(found)} {noun}. {'; '.join(told)}"
    return CheckResult(
        check="duties",
        group="history",
        answer=Answer.FAIL if found else Answer.PASS,
        summary=words if found else "No duty stands against a release.",
        evidence={each.id: f"{each.cited}: {each.what}: {each.fix}" for each in found},
        advisory=True,
    )
