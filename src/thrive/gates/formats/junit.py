"""JUnit XML: one test case a check, for GitLab, Jenkins, Azure and GitHub actions."""

import re
from itertools import groupby
from xml.sax.saxutils import escape, quoteattr

import msgspec

from thrive.domain.gate import Answer, CheckResult
from thrive.gates.formats.wording import blocks, command, settles, title
from thrive.gates.gate_file import GateFile

_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(found: GateFile) -> str:
    """Return the verdict as JUnit XML.

    What blocks is a failure, its type the answer; what cannot tell and only warns is skipped. It
    fits the schema of Jenkins (junit-10.xsd), which knows `skipped` of a suite and not of all.
    """
    results = sorted(found.verdict.results, key=lambda one: one.group)
    failures = sum(blocks(found, one) for one in results)
    name = quoteattr(_clean(f"thrive gates: {title(found.verdict)}"))
    counts = f'tests="{len(results)}" failures="{failures}" errors="0"'
    suites = "".join(
        _suite(found, group, list(members))
        for group, members in groupby(results, key=lambda one: one.group)
    )
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return f"{head}<testsuites name={name} {counts}>\n{suites}</testsuites>\n"


def _suite(found: GateFile, group: str, members: list[CheckResult]) -> str:
    failures = sum(blocks(found, one) for one in members)
    skipped = sum(_skipped(found, one) for one in members)
    cases = "".join(_case(found, one) for one in members)
    return (
        f'  <testsuite name={quoteattr(_clean(group))} tests="{len(members)}" '
        f'failures="{failures}" errors="0" skipped="{skipped}">\n{cases}  </testsuite>\n'
    )


def _skipped(found: GateFile, one: CheckResult) -> bool:
    return one.answer is not Answer.PASS and not blocks(found, one)


def _case(found: GateFile, one: CheckResult) -> str:
    place, name = quoteattr(_clean(f"thrive.{one.group}")), quoteattr(_clean(one.check))
    head, end = f"    <testcase classname={place} name={name}>\n      ", "\n    </testcase>\n"
    if one.answer is Answer.PASS:
        return f"{head}<system-out>{escape(_clean(one.summary))}</system-out>{end}"
    tag = "failure" if blocks(found, one) else "skipped"
    kind = f' type="{one.answer.value}"' if tag == "failure" else ""
    message = quoteattr(_clean(one.summary))
    text = escape(_clean(_details(found, one)))
    return f"{head}<{tag}{kind} message={message}>{text}</{tag}>{end}"


def _details(found: GateFile, one: CheckResult) -> str:
    shown = {
        key: value for key, value in one.evidence.items() if not isinstance(value, dict | list)
    }
    numbers = "\n".join(
        f"{key}: {msgspec.json.encode(value).decode()}" for key, value in shown.items()
    )
    settled = settles(one)
    parts = (one.summary, settled, numbers, f"again: {command(found.verdict)}")
    return "\n".join(part for part in parts if part)


def _clean(text: str) -> str:
    return _NO_XML.sub("?", text)
