"""Operations on gates."""

from pathlib import Path

import msgspec

from thrive.domain.actor import ANYONE
from thrive.domain.errors import NotFound
from thrive.domain.gate import Verdict
from thrive.domain.identifiers import is_id
from thrive.domain.reference import format_reference, parse_reference
from thrive.gates.comment import Comment, place_in, write_comment
from thrive.gates.explain import Explanation
from thrive.gates.explain import explain as explained
from thrive.gates.formats.markdown import markdown
from thrive.gates.gate_file import GateFile, problems, read_gate_file
from thrive.gates.keep import export, verify
from thrive.operations import Context, Kind, PageSize, operation
from thrive.settings import read_settings
from thrive.store import gates, models


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a verdict follows from its records, and is signed; `problems` says where not."""

    verdict_id: str
    model: str
    version: int
    answer: str
    holds: bool
    candidate: str
    record: str
    signed_by: str
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


@operation("gates show", role=ANYONE)
def show(ctx: Context, model: str) -> Verdict:
    """Show the latest verdict on a version, check by check.

    Args:
        model: MODEL or MODEL@VERSION (any version if no number is given), or a verdict's id.

    Examples:
        thrive gates show flight-delay@3
    """
    return _latest(ctx, model)


def _latest(ctx: Context, model: str) -> Verdict:
    if is_id(model):
        return _verdict_of(ctx, model)
    name, number = parse_reference(model)
    with ctx.read() as tx:
        models.get(tx, ctx.project_id, name)
        if number is not None:
            models.get_version(tx, ctx.project_id, name, number)
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


@operation("gates explain", role=ANYONE)
def explain(ctx: Context, model: str, *, check: str = "") -> Explanation:
    """Say of each check what it asks, what it found, and what would settle or mend it.

    Args:
        model: MODEL or MODEL@VERSION, or a verdict's id.
        check: only this check, with every number of its evidence.

    Examples:
        thrive gates explain flight-delay@3
        thrive gates explain flight-delay@3 --check quality
    """
    return explained(_latest(ctx, model), check)


@operation("gates export", role=ANYONE)
def export_verdict(ctx: Context, model: str) -> GateFile:
    """Return a verdict with the records it is signed over: what `gates run --json FILE` writes.

    Args:
        model: MODEL or MODEL@VERSION, or a verdict's id.

    Examples:
        thrive gates export flight-delay@3 --json
    """
    return export(ctx, _latest(ctx, model))


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


@operation("gates verify", role=ANYONE, kind=Kind.CLIENT)
def verify_verdict(ctx: Context, verdict: str, *, key: str = "") -> Verification:
    """Prove that a verdict follows from its records and is signed; exit code 1 if it does not.

    A file is proven without a home, a database or a network: it holds all that was signed.

    Args:
        verdict: a file of `gates run --json FILE`, or the id of a verdict in this home.
        key: the public key that must have signed; else those of the setting THRIVE_GATE_KEYS.

    Examples:
        thrive gates verify gate.json
        thrive gates verify 0192f1c2a3b44c5d8e6f708192a3b4c5
    """
    if is_id(verdict):
        found = _verdict_of(ctx, verdict)
        return verification(found, verify(ctx, found, trusted(key)))
    held = read_gate_file(ctx.local_folder() / verdict)
    return verification(held.verdict, problems(held, trusted(key)))


@operation("gates comment", role=ANYONE, kind=Kind.CLIENT)
def comment(ctx: Context, file: Path) -> Comment:
    """Write a verdict into the merge request whose CI job this is, over what was written before.

    Nothing needs it: exit codes and files say the same. The token is GITHUB_TOKEN (which a job of
    GitHub Actions has, given `pull-requests: write`) or GITLAB_TOKEN.

    Args:
        file: what `gates run --json FILE` wrote.

    Examples:
        thrive gates comment gate.json
    """
    return comment_on(ctx.local_folder() / file)


def comment_on(path: Path) -> Comment:
    """Write a gate file's verdict into the merge request whose job this is; raises as `comment`."""
    place = place_in()
    held = read_gate_file(path)
    return write_comment(place, markdown(held), held.verdict.answer.value)


def trusted(key: str) -> frozenset[str]:
    """Return the keys that are trusted: the one that is given, else those of the settings."""
    return frozenset({key.lower()}) if key else read_settings().trusted_keys()


def verification(found: Verdict, wrong: list[str]) -> Verification:
    """Return what is to be said of a verdict of which this is wrong."""
    return Verification(
        verdict_id=found.verdict_id,
        model=found.model,
        version=found.version,
        answer=found.answer.value,
        holds=not wrong,
        candidate=found.candidate,
        record=found.record,
        signed_by=found.signed_by,
        problems=wrong,
    )
