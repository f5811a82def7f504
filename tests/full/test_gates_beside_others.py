"""Gates beside other people's tools: fairlearn's rates, and parsers of what a CI is given.

Each stands in an environment of its own, made once a machine with the pins below.
"""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from tests.unit.gates.registry import CONTRACT, Registry, table, trees

from thrive.flows.ci_files import GITHUB, GITLAB, write_ci_files
from thrive.flows.gating import run
from thrive.gates.counting import cells_of
from thrive.packaging.package import pack
from thrive.statistics.fairness import Rate, gaps, group_rates, ratios

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

SHELF = Path.home() / ".cache" / "thrive-bench"
FAIRLEARN = (
    "fairlearn==0.12.0",
    "scikit-learn==1.6.1",
    "pandas==2.2.3",
    "numpy==2.2.6",
    "scipy==1.14.1",
)
READERS = ("sarif-tools==3.0.5", "prometheus-client==0.26.0", "junitparser==5.0.3")


def python_of(name, pins):
    """Return the interpreter of an environment with these packages."""
    place = SHELF / name
    python = place / "bin" / "python"
    if not (place / "made").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *pins], check=True)
        (place / "made").touch()
    return str(python)


def told(python, program, *words):
    done = subprocess.run(
        [python, "-c", program, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


FAIR = """
import json, sys
import pandas as pd
from fairlearn.metrics import (MetricFrame, demographic_parity_difference,
    demographic_parity_ratio, equal_opportunity_difference, equalized_odds_difference,
    false_negative_rate, false_positive_rate, selection_rate, true_positive_rate)
from sklearn.metrics import accuracy_score, precision_score
rows = pd.read_csv(sys.argv[1])
metrics = dict(selection_rate=selection_rate, true_positive_rate=true_positive_rate,
               false_positive_rate=false_positive_rate, precision=precision_score,
               accuracy=accuracy_score, false_negative_rate=false_negative_rate)
y, p = rows["label"], rows["decision"]
found = {}
for columns in (["sex"], ["region"], ["sex", "region"]):
    frame = MetricFrame(metrics=metrics, y_true=y, y_pred=p, sensitive_features=rows[columns])
    found["&".join(columns)] = {
        name: {"&".join(key if isinstance(key, tuple) else (key,)): value
               for key, value in frame.by_group[name].items()} for name in metrics}
two = rows["half"]
found["whole"] = dict(
    parity=demographic_parity_difference(y, p, sensitive_features=two),
    ratio=demographic_parity_ratio(y, p, sensitive_features=two),
    opportunity=equal_opportunity_difference(y, p, sensitive_features=two),
    odds=equalized_odds_difference(y, p, sensitive_features=two))
print(json.dumps(found))
"""


@pytest.fixture
def people():
    rng = np.random.default_rng(4)
    score = rng.random(4000)
    return pl.DataFrame(
        {
            "sex": rng.choice(["f", "m", "x"], 4000, p=[0.47, 0.47, 0.06]),
            "region": rng.choice(["north", "south", "west"], 4000),
            "half": rng.choice(["a", "b"], 4000, p=[0.7, 0.3]),
            "label": (rng.random(4000) < score).astype(np.int8),
            "decision": (score >= 0.6).astype(np.int8),
        }
    )


def test_rates_of_groups_and_their_gaps_are_those_of_fairlearn(people, tmp_path):
    people.write_csv(tmp_path / "rows.csv")
    theirs = told(python_of("gates-fairlearn", FAIRLEARN), FAIR, tmp_path / "rows.csv")
    cells = cells_of(
        people.with_columns(_gate_label="label", _gate_own="decision", _gate_other="decision"),
        ["sex", "region", "half"],
    )
    compared = 0
    for columns in (["sex"], ["region"], ["sex", "region"]):
        for each in group_rates(cells.table(columns)):
            group = "&".join(part.strip().partition("=")[2] for part in each.group.split("&"))
            for rate, interval in each.rates.items():
                known = theirs["&".join(columns)].get(rate.value)
                if known is not None:
                    assert interval.estimate == pytest.approx(known[group], abs=1e-9)
                    compared += 1
    assert compared >= 5 * (3 + 3 + 9)
    halves, whole = cells.table(["half"]), theirs["whole"]

    def gap(rate):  # of two groups, one against the rest is the largest against the smallest
        return abs(gaps(halves, rate, 0.1)[0].gap.estimate)

    assert gap(Rate.SELECTION) == pytest.approx(whole["parity"], abs=1e-9)
    assert ratios(halves)[0].ratio == pytest.approx(whole["ratio"], abs=1e-9)
    assert gap(Rate.TRUE_POSITIVE) == pytest.approx(whole["opportunity"], abs=1e-9)
    odds = max(gap(Rate.TRUE_POSITIVE), gap(Rate.FALSE_POSITIVE))
    assert odds == pytest.approx(whole["odds"], abs=1e-9)


READ = """
import json, sys
from junitparser import JUnitXml
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from sarif import loader
suites = JUnitXml.fromfile(sys.argv[1])
cases = [case for suite in suites for case in suite]
families = {one.name: one for one in text_string_to_metric_families(open(sys.argv[2]).read())}
report = loader.load_sarif_file(sys.argv[3])
print(json.dumps({
    "tests": suites.tests, "failures": suites.failures, "skipped": suites.skipped,
    "failed": [case.name for case in cases if any(type(r).__name__ == "Failure" for r in case.result)],
    "names": [case.name for case in cases],
    "checks": {s.labels["check"]: s.value for s in families["thrive_gate_check_answer"].samples},
    "samples": sum(len(one.samples) for one in families.values()),
    "findings": [[r["Location"], r["Line"], r["Severity"]] for r in report.get_records()],
    "tool": report.get_distinct_tool_names(),
}))
"""


def test_what_a_ci_is_given_is_read_by_the_parsers_of_others(home, context):
    registry, rows = Registry(home), table(seed=2)
    model, inputs = trees(table(seed=1))
    undecided = CONTRACT.replace('risk = "minimal"', 'risk = "undecided"').replace(
        "equal_opportunity = 0.15", "equal_opportunity = 0.15, calibration = 0.05"
    )
    package = pack(model, inputs, created=1)
    registry.add(model, inputs, rows, package=package, contract=undecided)
    verdict = run(
        context, "delay", junit="gate.xml", metrics="gate.txt", sarif="gate.sarif",
        markdown="gate.md", json="gate.json",
    )  # fmt: skip
    python = python_of("gates-readers", READERS)
    files = (context.folder / name for name in ("gate.xml", "gate.txt", "gate.sarif"))
    found = told(python, READ, *files)
    names = [one.check for one in verdict.results]
    assert sorted(found["names"]) == sorted(names)
    assert len(set(names)) == len(names)
    assert found["tests"] == len(names)
    by_answer = {one.check: one.answer.value for one in verdict.results}
    assert by_answer["contract"] == "fail"
    blocked = {
        one.check for one in verdict.results if not one.advisory and one.answer.value == "fail"
    }
    assert blocked <= set(found["failed"])
    assert all(by_answer[name] != "pass" for name in found["failed"]), "what blocks has failed"
    assert found["failures"] == len(found["failed"])
    answers = {"pass": 1, "cannot tell": 0, "fail": -1}
    assert found["checks"] == {one.check: answers[one.answer.value] for one in verdict.results}
    assert found["samples"] > len(names)
    assert found["tool"] == ["thrive"]
    contract = next(one for one in verdict.results if one.check == "contract")
    lines = [one["line"] for one in contract.evidence["findings"]]
    assert [line for _, line, _ in found["findings"]] == lines
    assert {(place, level) for place, _, level in found["findings"]} == {("thrive.toml", "error")}
    assert len((context.folder / "gate.md").read_bytes()) < 60_000
    assert msgspec.json.decode((context.folder / "gate.json").read_bytes())["verdict"]


CHECKERS = ("check-jsonschema==0.39.0", "xmlschema==4.1.0", "jsonschema==4.25.1")
SARIF_SCHEMA = ("@microsoft/jest-sarif@1.0.0-beta.0", "package/lib/schemas/sarif-2.1.0-rtm.5.json")
JUNIT_SCHEMA = ("pytest==9.2.0", "pytest-9.2.0/testing/example_scripts/junit-10.xsd")
"""The schema of Jenkins, as pytest holds its own reports to it."""
FITS = """
import json, sys
import jsonschema, xmlschema
sarif, sarif_schema, junit, junit_schema = sys.argv[1:]
schema = json.load(open(sarif_schema))
kind = jsonschema.validators.validator_for(schema)
kind.check_schema(schema)
wrong = [error.message for error in kind(schema).iter_errors(json.load(open(sarif)))]
wrong += [str(error.reason) for error in xmlschema.XMLSchema(junit_schema).iter_errors(junit)]
broken = json.load(open(sarif))
broken["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"] = 0
assert list(kind(schema).iter_errors(broken)), "the schema finds nothing"
print(json.dumps(wrong))
"""


def unpacked(name, command, member):
    """Return a file of an archive that a registry's client fetches once a machine."""
    place = SHELF / name
    if not (place / member).exists():
        place.mkdir(parents=True, exist_ok=True)
        subprocess.run([*command], cwd=place, check=True, capture_output=True)
        (archive,) = [*place.glob("*.tgz"), *place.glob("*.tar.gz")]
        subprocess.run(["tar", "xzf", archive.name, member], cwd=place, check=True)
    return place / member


def test_what_a_ci_is_given_fits_the_schemas_of_its_formats(home, context):
    registry, rows = Registry(home), table(seed=2)
    model, inputs = trees(table(seed=1))
    undecided = CONTRACT.replace('risk = "minimal"', 'risk = "undecided"')
    registry.add(model, inputs, rows, package=pack(model, inputs, created=1), contract=undecided)
    run(context, "delay", junit="gate.xml", sarif="gate.sarif")
    python = python_of("gates-schemas", CHECKERS)
    fetch = (python, "-m", "pip", "download", "-q", "--no-deps")
    sarif = unpacked("gates-sarif", ("npm", "pack", SARIF_SCHEMA[0]), SARIF_SCHEMA[1])
    junit = unpacked(
        "gates-junit", (*fetch, "--no-binary", ":all:", JUNIT_SCHEMA[0]), JUNIT_SCHEMA[1]
    )
    folder = context.folder
    assert told(python, FITS, folder / "gate.sarif", sarif, folder / "gate.xml", junit) == []


@pytest.mark.parametrize(("path", "schema"), [(GITHUB, "github-workflows"), (GITLAB, "gitlab-ci")])
def test_the_files_for_a_ci_fit_the_schemas_of_github_and_gitlab(tmp_path, path, schema):
    (tmp_path / "thrive.toml").write_text(CONTRACT)
    write_ci_files(tmp_path)
    python = python_of("gates-schemas", CHECKERS)
    ask = (python, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}")
    asked = subprocess.run(
        [*ask, str(tmp_path / path)], capture_output=True, text=True, check=False
    )
    assert asked.returncode == 0, asked.stdout
    (tmp_path / "broken.yml").write_text((tmp_path / path).read_text().replace("image:", "imag:"))
    (tmp_path / "broken.yml").write_text(
        (tmp_path / "broken.yml").read_text().replace("runs-on:", "run-on:")
    )
    broken = subprocess.run([*ask, str(tmp_path / "broken.yml")], capture_output=True, check=False)
    assert broken.returncode == 1, "the schema finds nothing"
