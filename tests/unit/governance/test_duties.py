"""Every row of the law files: evidence that runs, a check that passes and fails, a place."""

import msgspec
import pytest
from tests.unit.governance import whole as w

from thrive.domain.clock import DAY
from thrive.domain.dataset import Column
from thrive.domain.duty import SUBJECT_ACCESS, DutyException, RiskEntry
from thrive.domain.gate import Answer
from thrive.governance.checks import CHECKS
from thrive.governance.document import DocumentKind, make_document
from thrive.governance.evaluate import Standing, evidence_of, judge, judge_duty, refusing
from thrive.governance.evidence import QUERIES
from thrive.governance.law import Blocks, duties, questions
from thrive.governance.levels import below_level
from thrive.packaging.signature import Output, OutputKind

SENSITIVE = {
    "upstream": {
        "flights": w.flights(columns=[Column(name="tailnum", dtype="String", personal="health")])
    }
}
TAILNUM = [Column(name="tailnum", dtype="String", personal="name")]
NEWER = {"version": w.version(version=2)}
PREVIOUS = w.version(created_at=w.NOW)


SHARES = {
    "upstream": {
        "flights": w.flights(
            profile={"columns": {"carrier": {"distinct": 2, "top": [["UA", 300], ["AA", 700]]}}}
        )
    }
}


def populated(**shares):
    said = w.answers(known_gaps=None)
    return msgspec.structs.replace(said, population={"carrier": shares})


def risks(**entries):
    return msgspec.structs.replace(w.answers(), risks=entries)


FAILING = {
    "answered": [w.whole(answers=w.answers(**dict.fromkeys(questions().field))), w.personal(answers=w.answers(**dict.fromkeys(questions().field)))],
    "approvers-trained": [w.whole(answers=w.answers(literacy="adam: 2026-01-01"))],
    "base-models-explained": [w.whole(uses=[w.READ_MODEL])],
    "basis-stated": [w.personal(parsed=w.contract(a=("none needed: no personal data", ""), b=('tailnum = "none"', 'tailnum = "name"'))), w.personal("health", answers=w.answers(special_exception=None))],
    "breaches-in-time": [w.personal(incidents=[w.incident(w.BREACH)])],
    "class-decided": [w.whole(parsed=w.contract("undecided")), w.whole(parsed=w.contract("prohibited"))],
    "columns-labelled": [
        w.whole(upstream={"flights": w.flights(columns=[Column(name="note", dtype="String", asked=True)])}),
        w.whole(upstream={"flights": w.flights(columns=[Column(name="tailnum", dtype="String", personal="none", proposed="email", why="the form of its values")])}),
    ],
    "columns-needed": [w.personal(version=w.version(importance={"tailnum": 0.0}))],
    "compute-recorded": [w.whole(run=None), w.whole(run=w.run(ended_at=None))],
    "contestable": [w.whole(answers=w.answers(decision="automatic", effect="legal", contest_route=None))],
    "corrections-closed": [w.whole(releases=[w.release(state=w.ROLLED_BACK, ended_at=w.NOW, reason="late")])],
    "data-described": [w.whole(**w.without_contract('licence = "CC0-1.0"\n')), w.whole(parsed=None)],
    "envelope-kept": [
        w.whole(**NEWER, previous=PREVIOUS, previous_manifest=w.manifest(model_format="linear"), approvals=[]),
        w.whole(**NEWER, previous=PREVIOUS, previous_manifest=w.manifest(), approvals=[], verdict=w.verdict(answer=Answer.CANNOT_TELL)),
    ],
    "environment-recorded": [w.whole(run=None), w.whole(run=w.run(environment={"python": "3.11"}))],
    "erased-not-served": [w.whole(erased=[w.stone()])],
    "example-can-be-made": [w.whole(manifest=None)],
    "explainable": [
        w.whole(version=w.version(importance={})),
        w.whole(trials=[w.trial(reproduced=False)]),
        w.whole(trials=[w.trial(at=w.NOW - 3 * DAY)], routing=[w.routing()], windows=[w.window()]),
    ],
    "file-kept": [w.whole(releases=[w.release()]), w.whole(releases=[w.release()], documents=[w.document("technical-file")])],
    "groups-judged": [w.whole(verdict=w.verdict(results=[w.result("quality")])), w.personal(parsed=w.contract(a=('bias = { groups = ["carrier"], equal_opportunity = 0.15 }', ""), b=('tailnum = "none"', 'tailnum = "name"')))],
    "impact-assessed": [
        w.personal("health", answers=w.answers(impact_advice=None)),
        w.whole(answers=w.answers(decision="automatic", effect="legal", impact_risks=None)),
    ],
    "incidents-in-time": [w.whole(incidents=[w.incident()])],
    "instructions-answered": [w.whole(answers=w.answers(limits=None))],
    "instructions-pinned": [w.whole(documents=[])],
    "logged": [
        w.whole(**w.without_contract("sla = {", "log = { sample = 0.5 }\nsla = {")),
        w.whole(**w.without_contract("sla = {", 'log = { retention = "30 days" }\nsla = {')),
        w.whole(sealed=[w.sealed(dropped=3)]),
    ],
    "monitored": [w.whole(version=w.version(reference="")), w.whole(contacts=[])],
    "objections-respected": [w.personal(answers=w.answers(objection_route=None)), w.personal(restrictions=[w.restriction("objection")])],
    "oversight-named": [w.whole(answers=w.answers(oversight=None))],
    "owned": [w.whole(**w.without_contract('\nowner = "ours"\ndeputy', "\ndeputy")), w.whole(answers=w.answers(review_date="2026-01-01"))],
    "package-registered": [w.whole(manifest=None), w.whole(routing=[w.routing("0" * 64)])],
    "package-safe": [w.whole(manifest=w.manifest(model_format="pickle"), approvals=[])],
    "photos-if-embedded": [w.whole(answers=w.answers(embedded="yes", photos=None))],
    "places-allowed": [w.personal(answers=w.answers(processors=None)), w.personal(region="us-east-1", parsed=w.contract(a=('licence = "CC0-1.0"', 'licence = "x"\nregions = ["eu-west-1"]'), b=('tailnum = "none"', 'tailnum = "name"')))],
    "population-declared": [
        w.whole(answers=w.answers(target_population=None)),
        w.whole(answers=w.answers(known_gaps=None), parents={"flights": [w.flights(rows=5000)]}),
        w.whole(answers=w.answers(known_gaps=None), upstream={"flights": w.flights(profile={"columns": {"wind": {"missing": 500}}})}),
        w.whole(answers=populated(UA=0.5), **SHARES),
        w.whole(answers=populated(ZZ=0.1), **SHARES),
    ],
    "predecessor-known": [w.whole(**NEWER)],
    "purpose-compatible": [w.personal(parsed=w.contract(a=('allowed = ["delay-warning"]', 'allowed = ["billing"]'), b=('tailnum = "none"', 'tailnum = "name"')))],
    "purpose-said": [w.whole(**w.without_contract("tell the operations desk two hours ahead which departures are late."))],
    "rationale-given": [
        w.whole(answers=w.answers(rationale=None)),
        w.whole(**NEWER, previous=PREVIOUS, previous_manifest=w.manifest(model_format="linear")),
    ],
    "reads-within-purpose": [w.personal(reads=[w.read(purpose="billing")])],
    "restricted-left-out": [w.personal(answers=w.answers(restriction=None)), w.personal(restrictions=[w.restriction()])],
    "retention-kept": [w.whole(**w.without_contract('retention = "5 years"', 'retention = "1 day"'))],
    "rights-assessed": [w.whole(answers=w.answers(public_body="yes", registration=None))],
    "risks-managed": [
        w.whole(answers=risks()),
        w.whole(answers=risks(late=RiskEntry(what="x", severity="high", accepted_by="eva"))),
        w.whole(answers=risks(late=RiskEntry(what="x", severity="high", evidence="check:slices"))),
        w.whole(answers=risks(late=RiskEntry(what="x", review_by="2026-01-01"))),
        w.whole(answers=risks(late=RiskEntry(what="x", evidence="check:quantity"))),
    ],
    "robustness-tested": [
        w.whole(answers=w.answers(accuracy_level="roc_auc >= 0.8")),
        w.whole(windows=[w.window(0.6, 0.01)]),
        w.whole(verdict=w.verdict(results=[w.result("quality")])), w.whole(verdict=w.verdict(results=[w.result("robustness", Answer.FAIL)])),
    ],
    "sensitive-limited": [w.personal("health", answers=w.answers(sensitive_until="2026-01-01")), w.personal("health", answers=w.answers(sensitive_reason=None))],
    "speed-judged": [w.whole(verdict=w.verdict(results=[w.result("quality")]))],
    "stop-drilled": [w.whole(routing=[w.routing()]), w.whole(routing=[w.routing()], drills=[w.drill(at=w.NOW - 100 * DAY)]), w.whole(routing=[w.routing()], drills=[w.drill(took=None)])],
    "subject-findable": [w.personal(parsed=w.contract(b=('tailnum = "none"', 'tailnum = "name"'))), w.personal(parsed=w.contract(b=('personal = { tailnum = "none" }', 'personal = { tailnum = "name" }\nsubject = "tail_num"')))],
    "tested-and-signed": [w.whole(verdict=None), w.whole(verdict=w.verdict(answer=Answer.FAIL)), w.whole(verdict=w.verdict(signature=""))],
    "users-named": [w.whole(**w.without_contract('users = ["operations desk"]\n'))],
}  # fmt: skip
"""By check: records that are whole but for what the check is about."""


def passing(duty):
    special = {"sensitive": "health", "personal": "name"}.get(duty.when.value)
    return w.personal(special) if special else w.whole()


def test_there_is_a_case_for_every_check_and_no_other():
    assert set(FAILING) == set(CHECKS) == {duty.check for duty in duties()}
    assert set(QUERIES) == {name for duty in duties() for name in duty.queries}
    asked = {name for duty in duties() for name in duty.fields}
    assert asked == set(questions().field)
    assert len({duty.id for duty in duties()}) == len(duties()) == 58


@pytest.mark.parametrize("duty", duties(), ids=lambda duty: duty.id)
def test_each_duty_has_evidence_a_check_that_passes_and_fails_and_a_place(duty):
    records = passing(duty)
    facts = evidence_of(records, duty)
    assert facts
    assert all(":" in fact.source and fact.what for fact in facts)
    assert judge_duty(records, duty).standing is Standing.MET, judge_duty(records, duty).what
    seen = []
    for broken in FAILING[duty.check]:
        found = list(CHECKS[duty.check](broken, duty))
        seen += found
        assert all(each.what and each.fix for each in found)
        state = judge_duty(broken, duty)
        if found and state.standing is not Standing.NOT_ASKED:
            assert state.standing is Standing.MISSING
            assert state.owner == "ours" or broken.parsed is None or broken.terms.owner == ""
    assert seen
    for kind in duty.documents:
        document = make_document(records, DocumentKind(kind))
        sources = {fact.source for section in document.sections for fact in section.facts}
        assert f"duty:{duty.id}" in sources
        assert {fact.source for fact in facts} <= sources


def test_nothing_stands_against_a_whole_record_and_its_file_misses_only_what_it_names():
    states = judge(w.whole())
    assert [each.id for each in states if each.standing is Standing.MISSING] == []
    file = make_document(w.whole(), DocumentKind.TECHNICAL_FILE)
    missing = {fact.what for each in file.sections for fact in each.facts if fact.value is None}
    assert missing == {
        "A.9 use, MANAGE 4", "Drift", "Energy, estimated", "Faults of the input", "Live performance", "Memory",
        "Processor time", "Stop drill",
    }  # fmt: skip
    assert file.missing == len([f for s in file.sections for f in s.facts if f.value is None])


def test_high_risk_is_refused_where_minimal_is_warned():
    broken = {"answers": w.answers(metric_reason=None, oversight=None)}
    high = judge(w.whole(**broken))
    minimal = judge(w.whole(**broken, parsed=w.contract("minimal")))
    assert {each.id for each in refusing(high, Blocks.PRODUCTION)} == {
        "ai-iv-4-metrics",
        "ai-iv-2e-oversight",
    }
    steps = [each for each in Blocks if each is not Blocks.NOTHING]
    assert refusing(minimal, *steps) == []
    told = {each.id for each in minimal if each.standing is Standing.MISSING}
    assert "ai-iv-2e-oversight" in told
    assert "ai-iv-4-metrics" not in told


def test_a_model_of_minimal_risk_is_asked_at_most_twelve_things():
    asked = {
        name: each
        for name, each in questions().field.items()
        if each.when in {"always", "personal"} and "minimal" in each.risk
    }
    assert len([name for name, each in asked.items() if not each.once]) == 12
    assert len([name for name, each in asked.items() if each.once]) == 10  # of the project


def test_an_exception_lifts_a_duty_until_its_day_and_says_who_gave_it():
    broken = w.whole(answers=w.answers(metric_reason=None))
    given = DutyException(
        exception_id="e" * 32, model="delay", duty="ai-iv-4-metrics", role="platform",
        actor="adam", reason="in work", given_at=w.NOW, expires_at=w.NOW + DAY, own_work=True,
    )  # fmt: skip

    def state(**changed):
        one = msgspec.structs.replace(given, **changed)
        states = judge(msgspec.structs.replace(broken, exceptions=[one]))
        return next(each for each in states if each.id == "ai-iv-4-metrics")

    assert state().standing is Standing.EXCEPTED
    assert "adam (platform, of their own work): in work" in state().what
    assert state(expires_at=w.NOW).standing is Standing.MISSING
    assert state(revoked_at=w.NOW).standing is Standing.MISSING


def test_the_line_and_the_owner_of_a_missing_answer_are_named():
    states = judge(w.whole(**w.without_contract('licence = "CC0-1.0"\n')))
    (state,) = [each for each in states if each.id == "ai-iv-2d-data"]
    assert state.where == f"thrive.toml:{w.contract().lines['data.flights']}"
    assert (state.owner, state.blocks) == ("ours", Blocks.PRODUCTION)
    assert "licence" in state.fix


def test_a_record_that_went_turns_its_sentence_into_missing():
    def said(records, what):
        file = make_document(records, DocumentKind.TECHNICAL_FILE)
        return {f.value for s in file.sections for f in s.facts if f.what == what}

    assert said(w.whole(), "Pipeline") == {"train"}
    assert said(w.whole(run=None), "Pipeline") == {None}
    assert said(w.whole(), "Verdict") == {"pass"}
    assert said(w.whole(verdict=None), "Verdict") == {None}


def test_nothing_is_claimed_that_nobody_counted():
    """No score of a model without one, no persons where no column names them, no other's name."""

    def said(records, query):
        return {fact.what: fact.value for fact in QUERIES[query](records)}

    assert said(w.whole(), "design")["Decides yes from"] == "0.5"
    signature = w.whole().manifest.signature
    number = msgspec.structs.replace(signature, output=Output(kind=OutputKind.NUMBER))
    manifest = msgspec.structs.replace(w.whole().manifest, signature=number)
    answer = said(w.whole(manifest=manifest), "design")["Decides yes from"]
    assert answer == "no score: it answers a number"
    assert said(w.personal(), "persons-affected")["Persons in the training data"] == "900"
    uncounted = w.personal(upstream={"flights": w.flights(columns=TAILNUM)})
    assert said(uncounted, "persons-affected")["Persons in the training data"] is None
    for words, fine in (("base-net: MIT", True), ("my-base-network: MIT", False)):
        read = w.whole(uses=[w.READ_MODEL], answers=w.answers(third_party=words))
        (duty,) = (each for each in duties() if each.check == "base-models-explained")
        assert (judge_duty(read, duty).standing is Standing.MET) is fine, words


def test_pseudonyms_are_read_for_no_purpose():
    reads = [w.read(purpose="", pseudonymised=["tailnum"])]
    (duty,) = (each for each in duties() if each.check == "reads-within-purpose")
    assert judge_duty(w.personal(reads=reads), duty).standing is Standing.MET
    asked = [w.read(purpose=SUBJECT_ACCESS)]  # a person asked for their own data
    assert judge_duty(w.personal(reads=asked), duty).standing is Standing.MET
    granted = [w.read(purpose=SUBJECT_ACCESS, grant_id="9" * 32)]
    assert judge_duty(w.personal(reads=granted), duty).standing is Standing.MISSING
    opened = [w.read(purpose="", columns=["tailnum", "carrier"], pseudonymised=["tailnum"])]
    assert judge_duty(w.personal(reads=opened), duty).standing is Standing.MISSING


def test_shares_of_the_population_stand_beside_those_of_the_rows():
    (duty,) = (each for each in duties() if each.check == "population-declared")

    def found(**shares):
        records = w.whole(answers=populated(**shares), **SHARES)
        return [each.what for each in CHECKS[duty.check](records, duty)]

    assert found(UA=0.26) == []
    (off,) = found(UA=0.24)
    assert "carrier UA has 30.0% of the rows of flights and 24.0% of the population" in off
    records = w.whole(answers=populated(UA=0.24, ZZ=0.1), **SHARES)
    said = {fact.what: fact.value for fact in QUERIES["population"](records)}
    assert said["flights: carrier ZZ"].startswith("carrier ZZ has 0.0% of the rows")


@pytest.mark.parametrize(
    ("text", "tested", "live", "kept"),
    [
        ("roc_auc >= 0.70, monthly", 0.71, (0.69, 0.02), True),
        ("roc_auc >= 0.70, monthly", 0.71, (0.66, 0.02), False),
        ("roc_auc >= 0.70, monthly", 0.69, (0.9, 0.01), False),
        ("roc_auc <= 0.70", 0.6, (0.75, 0.01), False),
        ("accuracy >= 0.99", 0.6, (0.5, 0.01), True),
    ],
)
def test_the_accuracy_that_users_were_told_is_held_against_tests_and_live(text, tested, live, kept):
    records = w.whole(
        answers=w.answers(accuracy_level=text),
        version=w.version(metrics={"roc_auc": tested}),
        windows=[w.window(*live)],
    )
    assert (below_level(records) == "") is kept


def test_whoever_is_left_out_before_a_version_was_made_is_not_held_against_it():
    (duty,) = (each for each in duties() if each.check == "restricted-left-out")
    late = w.personal(restrictions=[w.restriction()])
    assert "flights@1" in judge_duty(late, duty).what
    (found,) = list(CHECKS[duty.check](late, duty))
    assert found.fix == "thrive models retrain delay"
    retrained = w.personal(restrictions=[w.restriction()], version=w.version(created_at=w.NOW))
    assert judge_duty(retrained, duty).standing is Standing.MET
