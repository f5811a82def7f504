"""What allows a version to be released: a verdict, approvals, and a contract without gaps.

A contract that asks less than that of what serves needs an approval of its own: whoever loosens a
gate does not pass through it on the strength of the loosened terms alone.
"""

from enum import StrEnum

import msgspec

from thrive.contract.gaps import gaps_for_model, reached_teams, refusal
from thrive.contract.lines import line_of, path_of
from thrive.contract.loosened import loosened
from thrive.contract.parse import ParsedContract
from thrive.contract.schema import ModelTerms, Risk, Unclear
from thrive.domain.actor import APPROVERS, Role
from thrive.domain.clock import machine_now
from thrive.domain.errors import Conflict, ContractGap, Damaged, NotFound, Refused
from thrive.domain.gate import Answer, Verdict
from thrive.domain.model import ModelVersion
from thrive.domain.reference import format_reference
from thrive.domain.release import Release, RoutingTable, Variant
from thrive.flows.contracts import contract_of, find_contract
from thrive.flows.data_use import refuse_training_data
from thrive.gates.gate_file import problems
from thrive.gates.keep import export
from thrive.gates.verdict import unsigned
from thrive.governance.evaluate import DutyState, Standing, blocking, judge, judge_duty, refusing
from thrive.governance.law import Blocks, find_duty
from thrive.governance.records import Records, collect
from thrive.operations import Context
from thrive.settings import read_settings
from thrive.store import gates, models, projects, releases, runs, tokens
from thrive.store.database import Tx
from thrive.tracking.code import listed, uncommitted

LEAST_FOR_HIGH_RISK = 2
"""So many people approve a model of high risk, none its author, one of them its business owner."""


class ApprovalStep(StrEnum):
    """What an approval consents to."""

    PRODUCTION = "production"
    """The version may answer users."""
    CONTRACT = "contract"
    """Its contract may ask less than that of the version that serves."""


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """An approval that a version lacks: what it is about, and the command that gives it."""

    what: str
    command: str


class Permission(msgspec.Struct, frozen=True, kw_only=True):
    """What allowed a release: kept with its audit row.

    Attributes:
        verdict: the verdict that passed.
        approvals: who approved the version.
        own_approval: somebody approved their own work, as one may alone in a folder.
        loosened: in which ways the contract asks less than the one before.
        records: all that is recorded of the version, as it was judged.
        excepted: the duties it passed without, by their exceptions.
    """

    verdict: Verdict
    approvals: list[str]
    own_approval: bool
    loosened: list[str]
    records: Records
    excepted: list[str]


def permission(
    tx: Tx,
    ctx: Context,
    candidate: ModelVersion,
    contract: ParsedContract,
    table: RoutingTable | None,
) -> Permission:
    """Return what allows a release of the version, or raise the first thing that is missing.

    Args:
        tx: the transaction that will move the routing table.
        ctx: who asks, and where.
        candidate: the version.
        contract: the one it was registered under.
        table: what is live now.

    Raises:
        Refused: no verdict allows it, it comes from a dirty tree, it is retired, or approvals
            or duties are missing.
        ContractGap: the contract leaves a question open that production asks, or does not allow
            this use of the data.
        Conflict: a release of the model is on its way, or the version serves already.
    """
    label = format_reference(candidate.model, candidate.version)
    running = find_running(tx, ctx, candidate.model)
    if running is not None:
        raise Conflict(
            f"A release of {format_reference(running.model, running.candidate)} is on its way.",
            f"thrive releases show {running.release_id}",
        )
    production = table.production() if table else None
    if production is not None and production.version == candidate.version:
        raise Conflict(f"{label} serves already.", f"thrive models show {candidate.model}")
    if candidate.retired_at is not None:
        raise Refused(f"{label} is retired.", "register a new version")
    if candidate.dirty:
        raise Refused(
            f"{label} was made from files that were not committed{_named(tx, ctx, candidate)}: "
            "nobody could make it again.",
            "commit, train and register again",
        )
    _require_answers(tx, ctx, candidate, contract)
    refuse_training_data(
        tx, ctx, candidate.training, contract, candidate.model, then=_again(candidate)
    )
    verdict = _verdict(tx, ctx, candidate, contract, production)
    lacking = missing_approvals(tx, ctx, candidate, contract)
    if lacking:
        raise Refused(f"{lacking[0].what}.", lacking[0].command)
    records = collect(tx, ctx, candidate.model, candidate.version)
    states = judge(records)
    _require_duties(label, blocking(states))
    terms = contract.contract.model[candidate.model]
    approvals = counted_approvals(tx, ctx, candidate, ApprovalStep.PRODUCTION, terms)
    return Permission(
        verdict=verdict,
        approvals=approvals,
        own_approval=candidate.actor in approvals,
        loosened=contract_loosened(tx, ctx, candidate, contract),
        records=records,
        excepted=[each.id for each in states if each.standing is Standing.EXCEPTED],
    )


def _require_duties(label: str, missing: list[DutyState]) -> None:
    """Raise every duty that stands against a release: its law, who owes it, what to type."""
    if not missing:
        return
    lines = "".join(f"\n  {each.line}" for each in missing)
    noun = "duty stands" if len(missing) == 1 else "duties stand"
    raise Refused(f"{len(missing)} {noun} against a release of {label}:{lines}", missing[0].fix)


def missing_approvals(
    tx: Tx, ctx: Context, candidate: ModelVersion, contract: ParsedContract
) -> list[Missing]:
    """Return the approvals that a version lacks before it may be released."""
    label = format_reference(candidate.model, candidate.version)
    found: list[Missing] = []
    terms = contract.contract.model[candidate.model]
    less = contract_loosened(tx, ctx, candidate, contract)
    if less and not counted_approvals(tx, ctx, candidate, ApprovalStep.CONTRACT, terms):
        ways = "; ".join(each.rstrip(".") for each in less)
        found.append(
            Missing(
                what=f"The contract of {label} asks less than the one in force ({ways})",
                command=f'thrive approvals give {label} --step contract --reason "..."',
            )
        )
    needed = _needed(ctx, terms)
    given = counted_approvals(tx, ctx, candidate, ApprovalStep.PRODUCTION, terms)
    if len(given) < needed:
        of = f" (of {', '.join(terms.approvers)})" if terms.approvers else ""
        what = f"{label} has {len(given)} of {needed} approvals for production{of}"
        found.append(Missing(what=what, command=_GIVE.format(label)))
    if _is_high_among_people(ctx, terms):
        found += _business_owner(candidate.model, label, contract, given)
    return found


FREEZES = ("ai-15-accuracy", "ai-73-incidents", "gdpr-33-34-breach")
"""Duties that a version which is on its way may come to miss: then it goes no further."""
_GIVE = 'thrive approvals give {} --reason "..."'


def _business_owner(
    model: str, label: str, contract: ParsedContract, given: list[str]
) -> list[Missing]:
    """Return what lacks of the consent of whoever answers for the use of a model of high risk."""
    owner = contract.contract.model[model].business_owner
    if not owner:
        line = line_of(contract.lines, "model", model, "business_owner")
        what = f"{contract.filename}:{line}: {model} is of high risk and names no business owner"
        cure = f'write business_owner = "..." in [{path_of("model", model)}]'
        return [Missing(what=what, command=cure)]
    if owner in given:
        return []
    what = f"{label} lacks the approval of its business owner, {owner}"
    return [Missing(what=what, command=_GIVE.format(label))]


def _needed(ctx: Context, terms: ModelTerms) -> int:
    """Return how many people must approve: as the contract says, for high risk at least two.

    Whoever is alone in a folder is one person.
    """
    said = terms.approvals.get(ApprovalStep.PRODUCTION, 0)
    return max(said, LEAST_FOR_HIGH_RISK) if _is_high_among_people(ctx, terms) else said


def _is_high_among_people(ctx: Context, terms: ModelTerms) -> bool:
    return terms.risk is Risk.HIGH and not ctx.alone


def contract_loosened(
    tx: Tx, ctx: Context, candidate: ModelVersion, contract: ParsedContract
) -> list[str]:
    """Return in which ways a version's contract asks less than that of what served last."""
    past = releases.routing_history(tx, ctx.project_id, candidate.model)
    served = next((live for table in past if (live := table.production()) is not None), None)
    if served is None:
        return []
    before = models.get_version(tx, ctx.project_id, candidate.model, served.version)
    if before.contract == candidate.contract:
        return []
    old = contract_of(tx, ctx.project_id, before)
    return loosened(old.contract, contract.contract, candidate.model)


def counted_approvals(
    tx: Tx, ctx: Context, candidate: ModelVersion, step: ApprovalStep, terms: ModelTerms
) -> list[str]:
    """Return whose approval of a step counts, as this transaction sees it.

    In a team nobody approves their own work, and where the contract names approvers nobody else
    counts. Alone in a folder there is one person, so it counts, and the record says so. Whoever
    approved must still be somebody who may: an approval falls with the token it was given with,
    unless its holder has a good one again.
    """
    given = gates.find_approvals(tx, ctx.project_id, candidate.model, candidate.version)
    actors = list(dict.fromkeys(each.actor for each in given if each.step == step))
    return [
        actor
        for actor in actors
        if (ctx.alone or _is_asked(actor, candidate, terms))
        and may_still(tx, ctx.project_id, actor, APPROVERS)
    ]


def _is_asked(actor: str, candidate: ModelVersion, terms: ModelTerms) -> bool:
    named = {*terms.approvers, terms.business_owner} if terms.approvers else {actor}
    return actor != candidate.actor and actor in named


def refuse_unasked(tx: Tx, ctx: Context, version: ModelVersion) -> None:
    """Refuse the consent of somebody whom the contract of a version does not ask.

    Raises:
        Refused: others are named; their names are told.
    """
    contract = find_contract(tx, ctx.project_id, version)
    terms = contract.contract.model.get(version.model) if contract else None
    if contract is None or terms is None or not terms.approvers or ctx.alone:
        return
    if ctx.actor.name not in {*terms.approvers, terms.business_owner}:
        line = line_of(contract.lines, "model", version.model, "approvers")
        raise Refused(
            f"{contract.filename}:{line}: {version.model} is approved by "
            f"{', '.join(terms.approvers)}, not by {ctx.actor.name}.",
            "ask one of them",
        )


def may_still(tx: Tx, project_id: str, actor: str, roles: frozenset[Role]) -> bool:
    """Tell whether somebody has one of some roles now; who never had a token owns the folder."""
    known = tokens.named(tx, project_id, actor)
    return not known or any(
        token.good(machine_now()) and roles & set(token.roles) for token in known
    )


def refuse_unapproved(tx: Tx, ctx: Context, release: Release) -> None:
    """Refuse to give a release live traffic when what allowed it does not count any more.

    Raises:
        Refused: whoever approved was revoked meanwhile, the version is live below the accuracy
            that users were told, or an incident is past the day of its report.
    """
    candidate = models.get_version(tx, ctx.project_id, release.model, release.candidate)
    lacking = missing_approvals(tx, ctx, candidate, contract_of(tx, ctx.project_id, candidate))
    if lacking:
        raise Refused(f"{lacking[0].what}.", lacking[0].command)
    records = collect(tx, ctx, candidate.model, candidate.version)
    frozen = [judge_duty(records, duty) for name in FREEZES if (duty := find_duty(name))]
    _require_duties(records.label, refusing(frozen, Blocks.PRODUCTION))


def _named(tx: Tx, ctx: Context, candidate: ModelVersion) -> str:
    """Return the files by which a version's code differs from its commit, where that is known."""
    try:
        run = runs.get(tx, ctx.project_id, candidate.run_id or "")
    except NotFound:
        return ""
    said = run.environment.get("code", {})
    files = uncommitted(run.code, said.get("untracked", [])) if run.code else []
    return f" ({listed(files)})" if files else ""


def _require_answers(
    tx: Tx, ctx: Context, candidate: ModelVersion, contract: ParsedContract
) -> None:
    reachable = reached_teams(contract.contract, projects.contacts(tx, ctx.project_id))
    found = gaps_for_model(contract, candidate.model, candidate.training, reachable)
    if found:
        first, more = found[0], len(found) - 1
        words = refusal(contract.filename, first.line, first.what, first.owner, more)
        then = "" if first.keys[:1] == ("team",) else _again(candidate)
        raise ContractGap(words, f"{first.fix}{then}")


def _again(candidate: ModelVersion) -> str:
    """Return what follows a mended line: a version is asked for what it was registered under."""
    label = format_reference(candidate.model, candidate.version)
    return f"; then train again, as {label} keeps the contract that it was registered under"


def _verdict(
    tx: Tx,
    ctx: Context,
    candidate: ModelVersion,
    contract: ParsedContract,
    production: Variant | None,
) -> Verdict:
    """Return the latest verdict if it passes, and judged exactly what would go live now."""
    label = format_reference(candidate.model, candidate.version)
    again = f"thrive gates run {label}"
    found = gates.find_verdicts(tx, ctx.project_id, candidate.model, candidate.version, limit=1)
    if not found:
        raise Refused(f"No gate has judged {label}.", again)
    verdict = found[0]
    unreliable = _unreliable(ctx, verdict)
    if unreliable:
        raise Refused(f"The verdict on {label} cannot be relied on: {unreliable}.", again)
    judged = (verdict.candidate, verdict.test_data, verdict.contract)
    if judged != (candidate.package, candidate.evaluation, candidate.contract):
        raise Refused(f"The verdict on {label} judged another package, data or contract.", again)
    if verdict.against != (production.version if production else None):
        raise Refused(
            f"The verdict on {label} compared with another version than serves now.", again
        )
    lenient = contract.contract.model[candidate.model].gates.on_unclear is Unclear.WARN
    allowed = verdict.answer is Answer.PASS or (lenient and verdict.answer is Answer.CANNOT_TELL)
    if not allowed:
        raise Refused(
            f"The gates say {verdict.answer} of {label}.",
            f"thrive gates show {verdict.verdict_id}",
        )
    return verdict


def _unreliable(ctx: Context, verdict: Verdict) -> str:
    """Return why a verdict cannot be relied on: its signature, or records it does not follow from.

    Its two records are read anew, by their digests: what was shown to whoever approved is theirs.
    """
    trusted = read_settings().trusted_keys()
    if unproven := unsigned(verdict, trusted):
        return unproven
    try:
        wrong = problems(export(ctx, verdict), trusted)
    except (Damaged, NotFound) as error:
        return error.what.rstrip(".")
    return wrong[0] if wrong else ""


def find_running(tx: Tx, ctx: Context, model: str) -> Release | None:
    """Return the release of a model that is on its way, held or not."""
    running = releases.find_running(tx, ctx.project_id)
    return next((each for each in running if each.model == model), None)
