"""Checks of what the system is: class, purpose, people, interfaces."""

from collections.abc import Iterator

from thrive.contract.gaps import gaps_for_model
from thrive.domain.clock import parse_time
from thrive.governance.checks.registry import Problem, check
from thrive.governance.law import Duty
from thrive.governance.records import Records

PEOPLE = ("owner", "deputy", "sla")


def gap_problems(records: Records, *keys: str) -> Iterator[Problem]:
    """Yield what the contract leaves open of the model under some keys."""
    model = records.version.model
    if records.parsed is None:
        yield Problem(what=f"no contract was stored with {records.label}", fix="thrive check")
        return
    wanted = {("model", model), *(("model", model, key) for key in keys)}
    for gap in gaps_for_model(records.parsed, model, (), records.reachable):
        if gap.keys in wanted:
            yield Problem(what=gap.what.rstrip("."), fix=gap.fix, path=gap.keys)


@check("class-decided")
def class_decided(records: Records, _duty: Duty) -> Iterator[Problem]:
    """Somebody decided the risk class, and it is not a prohibited one."""
    yield from gap_problems(records, "risk")


@check("purpose-said")
def purpose_said(records: Records, _duty: Duty) -> Iterator[Problem]:
    """The purpose is said in a sentence."""
    yield from gap_problems(records, "purpose")


@check("users-named")
def users_named(records: Records, _duty: Duty) -> Iterator[Problem]:
    """Who reads the answers is named, and where they are given."""
    yield from gap_problems(records, "users", "where")


@check("owned")
def owned(records: Records, _duty: Duty) -> Iterator[Problem]:
    """Owner, deputy and promise are there, nobody named has left; no day of review is over."""
    yield from gap_problems(records, *PEOPLE)
    for each in records.leavers:
        path = ("model", records.version.model, "owner")
        fix = f"name another in thrive.toml and release it again, or {each.fix}"
        yield Problem(what=each.words, fix=fix, path=path)
    due = records.answers.fields.get("review_date", "")
    if due and parse_time(due) < records.now:
        model = records.version.model
        yield Problem(
            what=f"{model} was to be looked at again by {due}",
            fix=f'thrive duties answer {model} --field review_date="..."',
        )


@check("environment-recorded")
def environment_recorded(records: Records, _duty: Duty) -> Iterator[Problem]:
    """The run recorded Python, the platform and every library."""
    environment = records.run.environment if records.run else {}
    lacking = [key for key in ("python", "platform", "libraries") if not environment.get(key)]
    if lacking:
        what = f"the run of {records.label} did not record {', '.join(lacking)}"
        yield Problem(what=what, fix="thrive run PIPELINE")


@check("package-registered")
def package_registered(records: Records, _duty: Duty) -> Iterator[Problem]:
    """What is routed is what was registered, and its package is stored."""
    if records.manifest is None:
        yield Problem(what=f"the package of {records.label} is not stored", fix="thrive doctor")
    newest = records.routing[0].variants if records.routing else []
    for variant in newest:
        own = variant.version == records.version.version
        if own and variant.package != records.version.package:
            what = f"{records.label} is routed with another package than was registered"
            yield Problem(what=what, fix="thrive doctor")


@check("photos-if-embedded")
def photos_if_embedded(records: Records, _duty: Duty) -> Iterator[Problem]:
    """A model that is part of a product has its photos."""
    fields = records.answers.fields
    if fields.get("embedded") == "yes" and not fields.get("photos"):
        model = records.version.model
        yield Problem(
            what=f"{model} is part of a product, and nobody wrote where its photos are",
            fix=f'thrive duties answer {model} --field photos="..."',
        )


@check("example-can-be-made")
def example_can_be_made(records: Records, _duty: Duty) -> Iterator[Problem]:
    """The signature says what a request looks like."""
    if records.manifest is None or not records.manifest.signature.inputs:
        what = f"{records.label} has no signature to show a request by"
        yield Problem(what=what, fix="register it again from a pipeline")


@check("instructions-answered")
def instructions_answered(records: Records, _duty: Duty) -> Iterator[Problem]:
    """What instructions need of people, limits and a contact, is there."""
    fields = records.answers.fields
    lacking = [name for name in ("limits", "contact") if not fields.get(name)]
    if lacking:
        model = records.version.model
        yield Problem(
            what=f"the instructions of {model} lack {' and '.join(lacking)}",
            fix=f'thrive duties answer {model} --field {lacking[0]}="..."',
        )


@check("instructions-pinned")
def instructions_pinned(records: Records, _duty: Duty) -> Iterator[Problem]:
    """Instructions were rendered of this very version."""
    if not any(each.kind == "instructions" for each in records.documents):
        yield Problem(
            what=f"no instructions for use were rendered of {records.label}",
            fix=f"thrive documents render instructions {records.label}",
        )


@check("approvers-trained")
def approvers_trained(records: Records, _duty: Duty) -> Iterator[Problem]:
    """Each approver stands in `literacy`."""
    said = records.answers.fields.get("literacy", "")
    trained = {part.partition(":")[0].strip() for part in said.split(",")}
    model = records.version.model
    for name in sorted({one.actor for one in records.approvals} - trained):
        yield Problem(
            what=f"nobody wrote when {name}, who approved {records.label}, was trained in AI",
            fix=f'thrive duties answer {model} --field literacy="{name}: 2026-09-01"',
        )


@check("rights-assessed")
def rights_assessed(records: Records, _duty: Duty) -> Iterator[Problem]:
    """A public body has its impact on fundamental rights and its registration."""
    fields = records.answers.fields
    if fields.get("public_body") != "yes":
        return
    model = records.version.model
    for name in ("fundamental_rights", "registration"):
        if not fields.get(name):
            yield Problem(
                what=f"a public body uses {model}, and nobody wrote `{name}`",
                fix=f'thrive duties answer {model} --field {name}="..."',
            )
