"""Duties that will block a release are told before it is asked for: by check, gates and answers."""

import shlex

import pytest
from tests.unit.gates.registry import CONTRACT, Registry, table

from thrive.domain.errors import ContractGap
from thrive.domain.gate import Answer
from thrive.flows.answering import duties_answer
from thrive.flows.gating import blocking_duties
from thrive.flows.project import Step, check
from thrive.governance.law import questions
from thrive.governance.operations import duties_list
from thrive.packaging.formats.constant import Constant
from thrive.packaging.inference import infer_signature
from thrive.packaging.package import pack
from thrive.packaging.signature import Output, OutputKind

PERSONAL = (
    CONTRACT.replace('tailnum = "none"', 'tailnum = "name"')
    .replace('retention = "5 years"', 'retention = "5 years"\nsubject = "tailnum"')
    .replace("none needed: no personal data", "consent of the owners")
    .replace('risk = "minimal"', 'risk = "limited"')
)
OWED = ["GDPR art. 7(3), 21", "GDPR art. 28, 44", "GDPR art. 30"]


@pytest.fixture
def version(home, tmp_path):
    (tmp_path / "thrive.toml").write_text(PERSONAL)
    rows = table(rows=50)
    output = Output(kind=OutputKind.PROBABILITY, positive=True)
    signature = infer_signature(rows.select("wind", "hour"), output)
    package = pack(Constant(value=0.2), rows.select("wind", "hour"), signature=signature, created=1)
    return Registry(home).add(None, None, rows, package=package, contract=PERSONAL)


def test_each_duty_that_will_block_a_release_is_named_with_its_law_and_what_to_type(
    context, version
):
    told = [line for line in check(context) if line.where == "governance.toml"]
    assert [line.what.partition(":")[0] for line in told] == OWED
    assert {line.blocks for line in told} == {"production"}
    assert told[0].fix.startswith("thrive duties answer delay --field objection_route=")
    given = shlex.split(told[0].fix)[-1]  # as a shell takes it, backquotes and all
    assert given == f"objection_route={questions().field['objection_route'].example}"
    assert told[2].fix.count(" --field ") == 2  # controller and recipients, in one command
    with pytest.raises(ContractGap) as refused:
        check(context, for_=Step.PRODUCTION)
    found = blocking_duties(context, version)
    assert (found.answer, found.advisory) == (Answer.FAIL, True)
    for words in (refused.value.what, found.summary):
        assert [each for each in OWED if each in words] == OWED
        assert words.count("thrive duties answer delay --field") == 3


def test_a_metric_that_nothing_brings_is_a_gap(context, tmp_path):
    text = PERSONAL.replace('metric = "roc_auc"', 'metric = "foo"')
    (tmp_path / "thrive.toml").write_text(text)
    (line,) = [each for each in check(context) if "'foo'" in each.what]
    assert text.splitlines()[int(line.where.partition(":")[2]) - 1].startswith("quality")
    assert (line.blocks, "roc_auc" in line.fix) == ("production", True)


def test_answers_that_block_are_marked_and_are_gone_once_they_are_given(context, version):
    listed = duties_list(context, "delay")
    owed = [each for each in listed if each.blocks == "production" and each.cited in OWED]
    assert [each.cited for each in owed] == OWED
    taken = duties_answer(context, "delay")
    blocking = ["objection_route", "processors", "controller", "recipients"]
    assert {each.field for each in taken.unanswered[:4]} == set(blocking)
    assert [each.blocks for each in taken.unanswered[:5]] == [*["production"] * 4, "nothing"]
    duties_answer(context, "delay", field=[f"{name}=said" for name in blocking])
    assert blocking_duties(context, version).answer is Answer.PASS
    assert [line for line in check(context) if line.where == "governance.toml"] == []
