import json
from pathlib import Path

import msgspec
import pytest
from tests.unit.gates.registry import CONTRACT, Registry, table

from thrive.domain.clock import DAY
from thrive.domain.errors import ContractError, NotFound, UsageError
from thrive.domain.gate import Answer, Approval, CheckResult, Verdict
from thrive.domain.monitoring import ActionKind, Alert, AlertState, Cause, Decision, Level
from thrive.domain.release import RoutingTable, Variant
from thrive.domain.run import Run, RunState
from thrive.flows.answering import duties_answer
from thrive.governance.answers import parse_answers
from thrive.governance.card import Card
from thrive.governance.document import Document, DocumentKind, differences
from thrive.governance.facts import Fact, Section
from thrive.governance.operations import (
    card,
    documents_diff,
    documents_list,
    documents_render,
    duties_list,
)
from thrive.packaging.formats.constant import Constant
from thrive.packaging.inference import infer_signature
from thrive.packaging.package import pack
from thrive.packaging.signature import Output, OutputKind
from thrive.store import gates, monitoring, references, releases, runs

RUN = "e" * 32
DAY_ONE = 1_370_000_000_000_000


@pytest.fixture
def registry(home):
    return Registry(home)


@pytest.fixture
def package():
    rows = table(rows=50).select("wind", "hour")
    output = Output(kind=OutputKind.PROBABILITY, positive=True)
    return pack(Constant(value=0.2), rows, signature=infer_signature(rows, output), created=1)


@pytest.fixture
def version(registry, package):
    return registry.add(
        None,
        None,
        table(rows=50),
        package=package,
        metrics={"roc_auc": 0.7123456, "brier": None},
        run_id=RUN,
    )


def sections(made):
    raw = msgspec.json.decode(made, type=Card)
    return {one.title: {fact.what: fact for fact in one.facts} for one in raw.sections}


def stored(context, made, form="json"):
    digest = next(one.digest for one in made.files if one.form == form)
    return context.home.blobs.get(digest)


def verdict(version, **changes):
    failed = CheckResult(
        check="slices",
        group="quality",
        answer=Answer.CANNOT_TELL,
        summary="Too few.",
        evidence={"too_small": [{"slice": "origin=LGA", "rows": 3}]},
    )
    fields = {
        "verdict_id": "a" * 32, "model": "delay", "version": version.version, "against": None,
        "baseline": "prior", "answer": Answer.CANNOT_TELL, "results": [failed],
        "candidate": version.package, "production": "", "test_data": version.evaluation,
        "contract": version.contract, "record": "", "created_at": DAY_ONE, "actor": "tester",
    }  # fmt: skip
    return Verdict(**{**fields, **changes})


def test_what_nobody_recorded_is_shown_as_missing(context, version):
    made = card(context, "delay")
    found = sections(stored(context, made))
    assert found["Training"]["Pipeline"].value is None
    assert found["Training"]["Pipeline"].source == f"run:{RUN}"
    assert found["Metrics"]["brier"].value is None
    assert found["Purpose and people"]["Answer when nothing works"].value is None
    assert found["Gates"] == {}
    assert "No gate has judged this version." in made.text
    assert "**missing**" in made.text
    assert made.missing == sum(
        fact.value is None for section in found.values() for fact in section.values()
    )


def test_every_statement_carries_its_record(context, version):
    found = sections(stored(context, card(context, "delay")))
    purpose = found["Purpose and people"]["Owner"]
    assert (purpose.value, purpose.source) == (
        "ours",
        f"contract:{version.contract}#model.delay.owner",
    )
    data = found["Data"]
    assert data["flights: content"].source == "dataset_version:flights@1"
    assert data["flights: licence"].value == "CC0-1.0"
    assert data["flights: why it is kept"].value.startswith("Past departures")
    assert all(":" in fact.source for facts in found.values() for fact in facts.values())


def test_the_card_tells_what_the_records_tell(context, home, version):
    with home.write() as tx:
        run = Run(
            run_id=RUN, experiment="e", name="n", state=RunState.DONE, actor="tester",
            started_at=DAY_ONE, ended_at=DAY_ONE + 90_000_000, pipeline="train",
            params={"trees": 150}, environment={"python": "3.11.7", "libraries": ["a==1"]}, seed=7,
        )  # fmt: skip
        runs.save(tx, home.project_id, run)
        gates.insert_verdict(tx, home.project_id, verdict(version))
        approval = Approval(
            approval_id="b" * 32, model="delay", version=version.version, step="production",
            actor="eva", reason="seen", given_at=DAY_ONE,
        )  # fmt: skip
        gates.insert_approval(tx, home.project_id, approval)
        alert = Alert(
            alert_id="c" * 32, model="delay", version=version.version, cause=Cause.PERFORMANCE,
            level=Level.ALERT, state=AlertState.DECIDED, title="It got worse.", owner="ours",
            deputy="", opened_at=DAY_ONE, deadline=DAY_ONE + DAY, evidence={}, proposed=[],
            recommended="retrain",
        )  # fmt: skip
        monitoring.save_alert(tx, home.project_id, alert)
        decision = Decision(
            decision_id="d" * 32, alert_id="c" * 32, action=ActionKind.RETRAIN, actor="eva",
            reason="season", decided_at=DAY_ONE, state="done",
        )  # fmt: skip
        monitoring.save_decision(tx, home.project_id, decision)
    found = sections(stored(context, card(context, "delay")))
    assert found["Training"]["Parameters"].value == "trees: 150"
    assert found["Training"]["Took"].value == "1 min 30 s"
    assert found["Gates"]["quality: slices"].value == "cannot tell. Too few."
    assert found["Known limits"]["Too few rows to judge"].value == "origin=LGA"
    approved = found["Approvals and releases"]["Approved 2013-05-31T11:33:20Z"]
    assert approved.source == f"approval:{'b' * 32}"
    alerts = list(found["Alerts and decisions"].values())
    assert [fact.source for fact in alerts] == [f"alert:{'c' * 32}", f"decision:{'d' * 32}"]
    assert "retrain by eva: season" in alerts[1].value


def test_the_live_version_is_shown_unless_one_is_named(context, registry, version, package):
    registry.make_live(version)
    newer = registry.add(None, None, table(rows=50), package=package)
    assert card(context, "delay").version == version.version
    assert card(context, f"delay@{newer.version}").version == newer.version
    routed = sections(stored(context, card(context, "delay")))["Approvals and releases"]
    assert [fact.value for fact in routed.values()] == ["100% of traffic: test"]


def test_the_same_records_give_the_same_bytes_and_files(context, version, tmp_path):
    first, second = card(context, "delay"), card(context, "delay", to=Path("cards"))
    assert [one.digest for one in first.files] == [one.digest for one in second.files]
    assert second.text == ""
    for one in second.files:
        assert Path(one.path).read_bytes() == context.home.blobs.get(one.digest)
    assert sorted(path.name for path in (tmp_path / "cards").iterdir()) == [
        "delay@1.html",
        "delay@1.json",
        "delay@1.md",
    ]
    with context.read() as tx:
        users = references.users(tx, context.project_id, first.files[0].digest)
    assert users == [("model_card", "delay@1")]
    assert json.loads(Path(second.files[2].path).read_text())["model"] == "delay"


def test_the_page_stands_alone_and_escapes_what_people_wrote(context, registry, package):
    evil = CONTRACT.replace("tell the operations desk", "<script>alert(1)</script> tell | them")
    registry.add(None, None, table(rows=50), package=package, contract=evil)
    made = card(context, "delay")
    page = stored(context, made, "html").decode()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert not any(sign in page for sign in ("http://", "https://", "src=", "@import", "url("))
    assert "prefers-color-scheme: dark" in page
    assert "no legal advice" in page
    assert "no legal advice" in made.text
    assert "<script" not in made.text
    assert "\\| them" in made.text


def test_duties_are_listed_with_what_they_block_until_they_are_met(
    context, home, version, registry, package
):
    unsaid = CONTRACT.replace('licence = "CC0-1.0"\n', "")
    registry.add(None, None, table(rows=50), package=package, contract=unsaid)
    listed = duties_list(context, "delay")
    blocking = [each for each in listed if each.blocks == "production"]
    assert {each.id for each in blocking} == {"ai-iv-2d-data", "ai-iv-2g-tests"}
    assert listed[: len(blocking)] == blocking
    assert "licence" in blocking[0].what
    with_all = duties_list(context, "delay", met=True)
    assert len(with_all) == 58
    assert {each.id for each in listed} < {each.id for each in with_all}


def test_answers_are_written_into_the_file_and_taken_in_once(context, version, tmp_path):
    taken = duties_answer(context, "delay", field=["contact=flights-ml@example.org"])
    text = (tmp_path / "governance.toml").read_text()
    assert 'contact = "flights-ml@example.org"' in text
    assert (taken.revision, taken.answered, len(taken.unanswered)) == (1, 1, 11)
    (tmp_path / "governance.toml").write_text(text.replace("contact", "# who\ncontact"))
    again = duties_answer(context, "delay", field=["review_date=2027-06-30"])
    assert (again.revision, again.answered) == (2, 2)
    assert "# who" in (tmp_path / "governance.toml").read_text()
    assert duties_answer(context, "delay").revision == 2
    made = documents_render(context, DocumentKind.INSTRUCTIONS, "delay")
    assert "flights-ml@example.org" in made.text
    shared = duties_answer(context, "delay", field=["controller=Flight Desk Ltd"])
    assert (shared.revision, shared.answered) == (3, 3)
    file = tmp_path / "governance.toml"
    assert '[project]\ncontroller = "Flight Desk Ltd"' in file.read_text()
    file.write_text(file.read_text() + "\n[model.other]\nreview_date = 2027-01-31\n")
    assert parse_answers(file.read_text(), "other").fields == {
        "controller": "Flight Desk Ltd",
        "review_date": "2027-01-31",
    }
    with pytest.raises(ContractError, match="asked of each model"):
        parse_answers('[project]\ncontact = "x"\n', "delay")
    for wrong in ("contcat=x", "review_date=soon", "decision=maybe"):
        with pytest.raises(ContractError, match=r"governance\.toml"):
            duties_answer(context, "delay", field=[wrong])
    assert duties_answer(context, "delay").revision == 3


def test_a_document_is_kept_by_digest_and_compared_statement_by_statement(
    context, registry, version, package
):
    first = documents_render(context, DocumentKind.TECHNICAL_FILE, "delay@1", to=Path("audit"))
    again = documents_render(context, DocumentKind.TECHNICAL_FILE, "delay@1")
    assert [one.digest for one in first.files] == [one.digest for one in again.files]
    assert "no legal advice" in Path(first.files[0].path).read_text()
    registry.add(None, None, table(rows=50), package=package, metrics={"roc_auc": 0.9})
    documents_render(context, DocumentKind.TECHNICAL_FILE, "delay@2")
    changed = {
        each.what: (each.before, each.after)
        for each in documents_diff(context, DocumentKind.TECHNICAL_FILE, "delay@1", "delay@2")
    }
    assert changed["roc_auc"] == ("0.712346", "0.9")
    assert changed["Predecessor"][1].startswith("delay@1")
    with pytest.raises(NotFound, match="was rendered"):
        documents_diff(context, DocumentKind.INSTRUCTIONS, "delay@1", "delay@2")


def test_the_record_of_processing_is_of_all_that_is_live(context, registry, version):
    assert documents_render(context, DocumentKind.PROCESSING_RECORD).missing == 0
    registry.make_live(version)
    made = documents_render(context, DocumentKind.PROCESSING_RECORD)
    assert made.subject == "test"
    assert "delay@1: Purposes and basis" in made.text
    with pytest.raises(UsageError, match="Of which model"):
        documents_render(context, DocumentKind.TECHNICAL_FILE)


def test_an_unknown_model_has_no_card_and_no_answers(context, tmp_path):
    with pytest.raises(NotFound, match="no model"):
        card(context, "nothing")
    with pytest.raises(NotFound):
        duties_answer(context, "dealy", field=["contact=x"])
    assert not (tmp_path / "governance.toml").exists()


def test_what_cannot_be_written_to_is_said_before_anything_is_kept(context, version, tmp_path):
    (tmp_path / "audit").write_text("a file")
    for make in (
        lambda: card(context, "delay", to=Path("audit")),
        lambda: documents_render(context, DocumentKind.INSTRUCTIONS, "delay", to=Path("audit/2")),
    ):
        with pytest.raises(UsageError, match="is no folder"):
            make()
    assert documents_list(context) == []


def test_a_version_that_answers_and_is_tried_beside_is_recorded_once(context, registry, version):
    routed = [Variant(version=1, package=version.package, share=each) for each in (0.5, 0.5)]
    with context.home.write() as tx:
        table_ = RoutingTable(
            model="delay", revision=1, variants=routed, fallback=None, salt="s", at=1,
            reason="r", actor="a",
        )  # fmt: skip
        releases.move_routing(tx, context.project_id, table_, 0)
    made = documents_render(context, DocumentKind.PROCESSING_RECORD)
    assert made.text.count("## delay@1: Purposes and basis") == 1


def test_statements_under_one_heading_are_compared_one_by_one():
    def paper(*facts):
        said = [Fact(what=what, value=value, source="alert:1") for what, value in facts]
        section = Section(title="After", facts=said)
        return Document(kind=DocumentKind.TECHNICAL_FILE, subject="delay@1", sections=[section])

    old = paper(("Decided", "hold"), ("Decided", "review"), ("Metrics", None))
    new = paper(("Decided", "retrain"), ("Decided", "hold"), ("Decided", "accept"))
    found = {(each.what, each.before, each.after) for each in differences(old, new)}
    assert found == {
        ("Decided", "review", "retrain"), ("Decided", None, "accept"),
        ("Metrics", "missing", None),
    }  # fmt: skip
    assert differences(old, old) == []
