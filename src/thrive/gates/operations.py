"""Operations on gates."""

import msgspec

from thrive.domain.actor import ANYONE, BUILDERS
from thrive.domain.errors import NotFound
from thrive.domain.gate import Verdict
from thrive.domain.identifiers import is_id
from thrive.domain.reference import format_reference, parse_reference
from thrive.gates.keep import verify
from thrive.gates.run import judge
from thrive.operations import Context, Kind, PageSize, operation
from thrive.store import gates, models


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a stored verdict follows from its record; `problems` says where it does not."""

    verdict_id: str
    holds: bool
    record: str
    problems: list[str]

    @property
    def exit_code(self) -> int:
        """What the command line exits with: 0 if it holds, 1 if not."""
        return 0 if self.holds else 1


class VerdictLine(msgspec.Struct, frozen=True, kw_only=True):
    """One verdict in a list."""

    verdict_id: str
    version: int
    against: str
    answer: str
    failed: str
    unclear: str
    created_at: int
    actor: str


@operation("gates run", role=BUILDERS, kind=Kind.JOB, writes=True)
def run(ctx: Context, model: str, *, against: str = "production") -> Verdict:
    """Judge a version on evidence, against what is in production.

    While production is empty the version must be better than the contract's baseline. Exit code 0
    means pass, 1 fail, 3 cannot tell.

    Args:
        model: MODEL or MODEL@VERSION; the newest version if no number is given.
        against: production, baseline, or the number of another version.

    Examples:
        thrive gates run flight-delay
        thrive gates run flight-delay@3 --against 1 --json
    """
    return judge(ctx, model, against)


@operation("gates show", role=ANYONE)
def show(ctx: Context, model: str) -> Verdict:
    """Show the latest verdict on a version, check by check.

    Args:
        model: MODEL or MODEL@VERSION (any version if no number is given), or a verdict's id.

    Examples:
        thrive gates show flight-delay@3
    """
    if is_id(model):
        return _verdict_of(ctx, model)
    name, number = parse_reference(model)
    with ctx.read() as tx:
        models.get(tx, ctx.project_id, name)
        found = gates.find_verdicts(tx, ctx.project_id, name, number, limit=1)
    if not found:
        label = name if number is None else format_reference(name, number)
        raise NotFound(f"There is no verdict on {label}.", f"thrive gates run {label}")
    return found[0]


def _verdict_of(ctx: Context, verdict_id: str) -> Verdict:
    with ctx.read() as tx:
        found = gates.get_verdict(tx, ctx.project_id, verdict_id)
    if found is None:
        raise NotFound(f"There is no verdict {verdict_id}.", "thrive gates history MODEL")
    return found


@operation("gates history", role=ANYONE)
def history(ctx: Context, model: str, *, limit: PageSize = 50) -> list[VerdictLine]:
    """List the verdicts on a model, the newest first.

    Args:
        model: MODEL or MODEL@VERSION.
        limit: how many at the most.

    Examples:
        thrive gates history flight-delay
    """
    name, number = parse_reference(model)
    with ctx.read() as tx:
        models.get(tx, ctx.project_id, name)
        found = gates.find_verdicts(tx, ctx.project_id, name, number, limit)
    return [_line(verdict) for verdict in found]


def _line(verdict: Verdict) -> VerdictLine:
    named = {
        answer: ", ".join(one.check for one in verdict.results if one.answer.value == answer)
        for answer in ("fail", "cannot tell")
    }
    return VerdictLine(
        verdict_id=verdict.verdict_id,
        version=verdict.version,
        against=f"version {verdict.against}" if verdict.against else verdict.baseline,
        answer=verdict.answer.value,
        failed=named["fail"],
        unclear=named["cannot tell"],
        created_at=verdict.created_at,
        actor=verdict.actor,
    )


@operation("gates verify", role=ANYONE)
def verify_verdict(ctx: Context, verdict_id: str) -> Verification:
    """Prove that a stored verdict follows from its record, and is about its version.

    Args:
        verdict_id: the id of the verdict.

    Examples:
        thrive gates verify 0192f1c2a3b44c5d8e6f708192a3b4c5
    """
    found = _verdict_of(ctx, verdict_id)
    problems = verify(ctx, found)
    return Verification(
        verdict_id=verdict_id,
        holds=not problems,
        record=found.record,
        problems=problems,
    )
