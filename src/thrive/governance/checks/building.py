"""Checks of how it was built and tested."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime

from thrive.domain.clock import DAY, SECOND, format_time
from thrive.domain.gate import Answer
from thrive.domain.monitoring import Cause
from thrive.domain.reference import format_reference
from thrive.governance.checks.registry import Problem, check
from thrive.governance.evidence.building import PICKLED, results
from thrive.governance.law import Duty
from thrive.governance.levels import below_level
from thrive.governance.records import Records


def _answer(records: Records, name: str) -> str:
    return f'thrive duties answer {records.version.model} --field {name}="..."'


def _judge(records: Records) -> str:
    return f"thrive gates run {records.label}"


def today(records: Records) -> date:
    """Return the project's day in UTC."""
    return datetime.fromtimestamp(records.now / SECOND, UTC).date()


@check("base-models-explained")
def base_models_explained(records: Records, _duty: Duty) -> Iterator[Problem]:
    """Each model of others that the run read has a licence, a source and a reason."""
    read = [each.name for each in records.uses if each.kind == "model" and each.direction == "in"]
    said = records.answers.fields.get("third_party", "")
    for name in read:
        if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", said):
            what = f"licence, source and reason of the base model {name} are not written"
            yield Problem(what=what, fix=_answer(records, "third_party"))


@check("rationale-given")
def rationale_given(records: Records, _duty: Duty) -> Iterator[Problem]:
    """The rationale is there, and was looked at since algorithm, target or threshold changed."""
    model = records.version.model
    if not records.answers.fields.get("rationale"):
        what = f"nobody wrote why {model} was designed as it is"
        yield Problem(what=what, fix=_answer(records, "rationale"))
        return
    before = records.previous
    if before is not None and _redesigned(records) and records.answers.at < before.created_at:
        what = f"algorithm, target or threshold of {model} changed since the rationale was written"
        yield Problem(what=what, fix=_answer(records, "rationale"))


def _redesigned(records: Records) -> bool:
    old, new = records.previous_manifest, records.manifest
    formats = old is not None and new is not None and old.model_format != new.model_format
    before, terms = records.previous_terms, records.terms
    targets = before is not None and terms is not None and before.target != terms.target
    return formats or targets


@check("compute-recorded")
def compute_recorded(records: Records, _duty: Duty) -> Iterator[Problem]:
    """The run is there with its start and its end."""
    if records.run is None or records.run.ended_at is None:
        what = f"no finished run is recorded that made {records.label}"
        yield Problem(what=what, fix="thrive run PIPELINE")


@check("speed-judged")
def speed_judged(records: Records, _duty: Duty) -> Iterator[Problem]:
    """A gate measured the speed."""
    if not results(records, "performance"):
        yield Problem(
            what=f"no gate measured how fast {records.label} is",
            fix=_judge(records),
            on_its_way=True,
        )


@check("tested-and-signed")
def tested_and_signed(records: Records, _duty: Duty) -> Iterator[Problem]:
    """A signed verdict on this very package did not fail."""
    verdict = records.verdict
    if verdict is None:
        yield Problem(
            what=f"no gate has judged {records.label}", fix=_judge(records), on_its_way=True
        )
    elif verdict.answer is Answer.FAIL:
        fix = f"thrive gates show {verdict.verdict_id}"
        yield Problem(what=f"the gates say fail of {records.label}", fix=fix, on_its_way=True)
    elif not verdict.signature or verdict.candidate != records.version.package:
        what = f"no signed verdict is about the package of {records.label}"
        yield Problem(what=what, fix=_judge(records), on_its_way=True)


@check("package-safe")
def package_safe(records: Records, _duty: Duty) -> Iterator[Problem]:
    """A model whose loading runs code has approvals of its own."""
    form = records.manifest.model_format if records.manifest else ""
    if form == PICKLED and not records.approvals:
        fix = f'thrive approvals give {records.label} --reason "..."'
        what = f"{records.label} is a pickle that nobody approved"
        yield Problem(what=what, fix=fix, on_its_way=True)


@check("groups-judged")
def groups_judged(records: Records, _duty: Duty) -> Iterator[Problem]:
    """Where groups are declared, or persons are in the data, a gate judged groups."""
    terms = records.terms
    declared = bool(terms and terms.gates.bias and terms.gates.bias.groups)
    path = ("model", records.version.model, "gates", "bias")
    if records.personal() and not declared:
        what = f"{records.label} learned from persons, and no groups are declared to judge"
        yield Problem(what=what, fix='write bias = { groups = ["..."] } in its gates', path=path)
    elif declared and not results(records, "bias"):
        what = f"no gate judged the declared groups of {records.label}"
        yield Problem(what=what, fix=_judge(records), path=path, on_its_way=True)


@check("robustness-tested")
def robustness_tested(records: Records, _duty: Duty) -> Iterator[Problem]:
    """A gate tried odd inputs, none failed, and the accuracy that users were told is kept."""
    found = results(records, "robustness")
    if not found:
        what = f"no gate tried odd and noisy inputs on {records.label}"
        yield Problem(what=what, fix=_judge(records), on_its_way=True)
    failed = [one.check for one in found if one.answer is Answer.FAIL]
    if failed:
        what = f"{records.label} is not robust: {', '.join(failed)}"
        yield Problem(what=what, fix="mend it, train and judge again", on_its_way=True)
    if below := below_level(records):
        fix = f"thrive models retrain {records.version.model}, or tell users a level that holds"
        yield Problem(what=below, fix=fix)


@check("risks-managed")
def risks_managed(records: Records, _duty: Duty) -> Iterator[Problem]:
    """There is a register; each high risk is watched, accepted by somebody and not overdue."""
    model, risks = records.version.model, records.answers.risks
    if not risks:
        fix = f"write [model.{model}.risks.NAME] into governance.toml; thrive duties answer {model}"
        yield Problem(what=f"{model} has no risk register", fix=fix)
    for name, risk in sorted(risks.items()):
        at = f"write it in [model.{model}.risks.{name}]; thrive duties answer {model}"
        if risk.severity == "high" and not risk.evidence:
            yield Problem(what=f"no test or monitor watches the high risk {name}", fix=at)
        if risk.evidence and not is_watched(records, risk.evidence):
            what = f"{risk.evidence}, which is to watch the risk {name}, is no test or monitor"
            yield Problem(
                what=f"{what} of {records.label}",
                fix=f"{_watchers(records)}; {at}",
                on_its_way=not results(records),
            )
        if risk.severity == "high" and not risk.accepted_by:
            yield Problem(what=f"nobody accepted what remains of the high risk {name}", fix=at)
        if risk.review_by and date.fromisoformat(risk.review_by) < today(records):
            yield Problem(what=f"the risk {name} was to be looked at by {risk.review_by}", fix=at)


def is_watched(records: Records, evidence: str) -> bool:
    """Tell whether the evidence of a risk is a check of the newest verdict, or a monitor."""
    kind, _, name = evidence.partition(":")
    if kind == "monitor":
        return name in {each.value for each in Cause}
    found = results(records)
    return kind == "check" and name in {each for one in found for each in (one.check, one.group)}


def _watchers(records: Records) -> str:
    checks = ", ".join(sorted({one.check for one in results(records)})) or "none yet"
    causes = ", ".join(each.value for each in Cause)
    return f"checks: {checks}; monitors: {causes}"


@check("predecessor-known")
def predecessor_known(records: Records, _duty: Duty) -> Iterator[Problem]:
    """A version that is not the first one has a recorded predecessor."""
    if records.version.version > 1 and records.previous is None:
        what = f"nothing is recorded of what came before {records.label}"
        yield Problem(what=what, fix=f"thrive models history {records.version.model}")


@check("envelope-kept")
def envelope_kept(records: Records, _duty: Duty) -> Iterator[Problem]:
    """Who changes more than was decided in advance (inputs, algorithm, quality) has approval."""
    before, old, new = records.previous, records.previous_manifest, records.manifest
    if before is None or records.approvals:
        return
    label = format_reference(before.model, before.version)
    fix = f'thrive approvals give {records.label} --reason "..."'
    if old is None or new is None or old.model_format != new.model_format:
        what = f"{records.label} has another algorithm than {label}"
        yield Problem(what=what, fix=fix, on_its_way=True)
    elif old.signature.names != new.signature.names:
        what = f"{records.label} takes other inputs than {label}"
        yield Problem(what=what, fix=fix, on_its_way=True)
    elif records.verdict is None or records.verdict.answer is not Answer.PASS:
        what = f"no gate says that {records.label} is within the margin of {label}"
        yield Problem(what=what, fix=_judge(records), on_its_way=True)


TRIED_WITHIN = 2 * DAY
"""An answer of what is live is explained on trial once a day; so old may the newest trial be."""


@check("explainable")
def explainable(records: Records, _duty: Duty) -> Iterator[Problem]:
    """It is recorded what answers rest on, and an answer of what is live was explained lately."""
    label = records.label
    if not records.version.importance:
        what = f"no importance of inputs was registered with {label}"
        yield Problem(what=what, fix="register(..., importance={...}) in the pipeline")
    newest = records.trials[0] if records.trials else None
    if newest is not None and not newest.reproduced:
        what = f"the answer {newest.prediction_id} of {label} could not be explained"
        yield Problem(what=f"{what}: {newest.words}", fix="thrive explanations try")
    answered = [each for each in records.windows if each.rows]
    if not records.is_live or not answered:
        return
    tried_at = newest.at if newest is not None else answered[0].end
    if tried_at + TRIED_WITHIN < records.now:
        what = f"no answer of {label} was explained on trial since {format_time(tried_at)}"
        yield Problem(what=what, fix="thrive explanations try")
