"""SARIF 2.1.0: the findings that have a file and a line, and only those; a metric has no line."""

from typing import Any

import msgspec

from thrive.domain.gate import Answer, CheckResult
from thrive.gates.gate_file import GateFile
from thrive.version import __version__

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {Answer.FAIL: "error", Answer.CANNOT_TELL: "warning", Answer.PASS: "note"}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found at a place of a file; it stands in the evidence as `findings`.

    Attributes:
        file: its path in the repository.
        line: from 1.
        what: what is wrong there, and what to write.
    """

    file: str
    line: int
    what: str


def sarif(found: GateFile) -> str:
    """Return the findings of a verdict as SARIF; a run without results when there are none."""
    placed = [
        (one, msgspec.convert(finding, Finding))
        for one in found.verdict.results
        for finding in one.evidence.get("findings", [])
    ]
    rules = sorted({one.check for one, _ in placed})
    run = {
        "tool": {
            "driver": {
                "name": "thrive",
                "version": __version__,
                "rules": [_rule(name) for name in rules],
            }
        },
        "results": [_result(one, finding) for one, finding in placed],
    }
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"


def _rule(name: str) -> dict[str, Any]:
    return {
        "id": _id(name),
        "name": name,
        "shortDescription": {"text": f"The gate's check {name!r}."},
    }


def _id(name: str) -> str:
    return f"thrive-{name.replace(' ', '-')}"


def _result(one: CheckResult, finding: Finding) -> dict[str, Any]:
    place = {
        "artifactLocation": {"uri": finding.file},
        "region": {"startLine": max(1, finding.line)},
    }
    return {
        "ruleId": _id(one.check),
        "level": _LEVELS[one.answer],
        "message": {"text": finding.what},
        "locations": [{"physicalLocation": place}],
    }
