"""What a CI gets of a gate run: files it can read, a verdict it can prove, exit codes."""

import re
import xml.etree.ElementTree as ET

import msgspec
import pytest
from tests.unit.gates.registry import table

from thrive.cli.words import read_line
from thrive.domain.errors import NotFound, UsageError
from thrive.domain.gate import Answer, CheckResult
from thrive.flows.gating import run
from thrive.gates import cannot_tell, check, failed, passed
from thrive.gates.formats.junit import junit
from thrive.gates.formats.markdown import LARGEST, markdown
from thrive.gates.formats.sarif import sarif
from thrive.gates.gate_file import GateFile, problems, read_gate_file
from thrive.gates.operations import explain, export_verdict, verify_verdict


@pytest.fixture
def judged(context, registry, trained, sound):
    """A version that cannot be told, with the files of its run."""
    registry.add(*trained, table(seed=2, rows=24), package=sound)
    run(
        context, "", json="gate.json", junit="gate.xml", markdown="gate.md",
        metrics="gate.txt", sarif="gate.sarif",
    )  # fmt: skip
    return read_gate_file(context.folder / "gate.json")


def test_the_files_say_what_the_verdict_says(context, judged):
    verdict = judged.verdict
    assert verdict.answer is Answer.CANNOT_TELL
    suites = ET.parse(context.folder / "gate.xml").getroot()
    cases = {each.get("name"): each for each in suites.iter("testcase")}
    assert set(cases) == {one.check for one in verdict.results}
    blocking = {name for name, each in cases.items() if each.find("failure") is not None}
    assert blocking == {
        one.check for one in verdict.results if one.answer is not Answer.PASS and not one.advisory
    }
    quality = cases["quality"].find("failure")
    assert quality.get("type") == "cannot tell"
    assert "again: thrive gates run delay@1 --against baseline" in quality.text
    assert int(suites.get("failures")) == len(blocking)
    text = (context.folder / "gate.md").read_text()
    assert text.splitlines()[1] == "### ❔ `delay@1 against baseline 'prior'`: cannot tell"
    assert text.index("❔ | quality") < text.index("✅ |")
    metrics = (context.folder / "gate.txt").read_text()
    assert metrics.endswith("# EOF\n")
    pattern = r'thrive_gate_\w+\{model="delay"(,\w+="[^"]*")*\} -?[0-9.e+-]+'
    assert all(re.fullmatch(pattern, line) for line in metrics.splitlines() if line[0] != "#")
    found = msgspec.json.decode((context.folder / "gate.sarif").read_bytes())
    assert found["runs"][0]["results"] == []


def test_a_gate_file_is_proven_without_its_home(context, judged, tmp_path):
    proven = verify_verdict(context, "gate.json")
    assert (proven.holds, proven.exit_code, proven.answer) == (True, 0, "cannot tell")
    pretty = msgspec.json.format((context.folder / "gate.json").read_bytes(), indent=2)
    (context.folder / "pretty.json").write_bytes(pretty)
    assert verify_verdict(context, "pretty.json").holds
    assert verify_verdict(context, "gate.json", key=proven.signed_by).holds
    other = verify_verdict(context, "gate.json", key="ab" * 32)
    assert (other.exit_code, "no trusted key" in other.problems[0]) == (1, True)
    with pytest.raises(UsageError, match="no gate file"):
        verify_verdict(context, "gate.xml")
    with pytest.raises(NotFound):
        verify_verdict(context, "nothing.json")


FORGERIES = [
    ('"answer":"cannot tell"', '"answer":"pass"', "not of this verdict"),
    ('"margin":0.02', '"margin":0.9', "the record is not the one that was signed"),
    ('"platform":"', '"platform":"x', "the measured is not the one that was signed"),
    ('"signature":"', '"signature":"00', "not of this verdict"),
]


def test_a_changed_gate_file_is_found_out(context, judged):
    text = (context.folder / "gate.json").read_text()
    for find, write, words in FORGERIES:
        assert find in text
        (context.folder / "forged.json").write_text(text.replace(find, write))
        proven = verify_verdict(context, "forged.json")
        assert proven.exit_code == 1
        assert any(words in each for each in proven.problems)


def test_a_warning_is_skipped_not_failed(judged):
    record = msgspec.structs.replace(
        judged.core(), terms={**judged.core().terms, "on_unclear": "warn"}
    )
    warned = msgspec.structs.replace(judged, record=msgspec.Raw(msgspec.json.encode(record)))
    root = ET.fromstring(junit(warned))
    assert root.get("failures") == "0"
    assert sum(int(each.get("skipped")) for each in root) > 0


def with_results(judged: GateFile, *results: CheckResult) -> GateFile:
    verdict = msgspec.structs.replace(judged.verdict, results=list(results))
    return msgspec.structs.replace(judged, verdict=verdict)


def test_names_of_others_do_no_harm_and_the_table_stays_small(judged):
    nasty = CheckResult(
        check="a|b <!-- @team -->",
        group="own",
        answer=Answer.FAIL,
        summary="x\x00\n|`" + "é" * 3000,
    )
    long = with_results(judged, *[nasty] * 200)
    text = markdown(long)
    assert len(text.encode()) < LARGEST
    assert "more checks" in text
    rows = [line for line in text.splitlines() if line.startswith("| ❌")]
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 5 for row in rows)
    assert "<!-- @team" not in text
    assert "@team" not in text
    ET.fromstring(junit(long))


def test_findings_with_a_line_become_sarif(judged):
    finding = {"file": "thrive.toml", "line": 7, "what": "purpose is missing"}
    one = CheckResult(
        check="contract", group="policy", answer=Answer.FAIL, summary="s",
        evidence={"findings": [finding]},
    )  # fmt: skip
    result = msgspec.json.decode(sarif(with_results(judged, one)))["runs"][0]["results"][0]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "thrive.toml"
    assert place["region"]["startLine"] == 7
    assert (result["level"], result["ruleId"]) == ("error", "thrive-contract")


def test_explain_says_what_is_asked_and_what_would_settle_it(context, judged):
    said = explain(context, "delay")
    assert said.checks[0].answer is not Answer.PASS
    quality = next(one for one in said.checks if one.check == "quality")
    assert quality.asks.startswith("Is it not worse")
    one = explain(context, "delay@1", check="quality").checks
    assert len(one) == 1
    assert "standard_error: " in one[0].found
    with pytest.raises(NotFound, match="no check 'qualitty'"):
        explain(context, "delay", check="qualitty")
    assert problems(export_verdict(context, "delay"), frozenset()) == []


def test_which_model_is_asked_when_there_are_several(context):
    with pytest.raises(UsageError, match="none is registered"):
        run(context)


def test_the_word_after_json_is_a_file_where_a_file_is_written():
    line = read_line(["gates", "run", "--json", "gate.json", "--junit", "g.xml"])
    assert (line.as_json, line.rest) == (False, ["--json", "gate.json", "--junit", "g.xml"])
    line = read_line(["gates", "run", "--json", "delay"])
    assert (line.as_json, line.rest) == (True, ["delay"])
    line = read_line(["outcomes", "add", "--json", "o.json"])
    assert (line.as_json, line.rest) == (True, ["o.json"])


def test_own_checks_have_names_and_three_answers():
    @check("costs", advisory=True)
    def costs(case):
        return {"low": passed, "high": failed}.get(case, cannot_tell)("Seen.", price=case)

    assert [costs(case).answer.value for case in ("low", "high", "?")] == [
        "pass", "fail", "cannot tell",
    ]  # fmt: skip
    found = costs("low")
    assert (found.check, found.group, found.advisory) == ("costs", "own", True)
    assert found.evidence == {"price": "low"}
    unsaid = check("said")(lambda case: case)(True)  # type: ignore[arg-type]
    assert (unsaid.check, unsaid.answer.value) == ("said", "cannot tell")
    assert 'returned a bool: return passed("...")' in unsaid.summary
    with pytest.raises(UsageError):
        check(" ")
