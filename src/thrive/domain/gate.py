"""Gates: the tests a version must pass, and their verdict."""

from enum import StrEnum
from typing import Any

import msgspec


class Answer(StrEnum):
    """The three honest answers of a check."""

    PASS = "pass"  # noqa: S105 - an answer, no password
    FAIL = "fail"
    CANNOT_TELL = "cannot tell"


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one check found: its answer, in words, with its evidence in numbers.

    Attributes:
        check: its name.
        group: what it is about: quality, bias, robustness, policy, performance, history, own.
        answer: one of three.
        summary: what was found, in a sentence or two.
        evidence: the numbers behind it.
        more_rows: how many more rows like these would settle it; None where rows settle nothing.
        smallest_visible: the smallest loss (or gap) that these rows can show, in the check's unit.
        advisory: it informs and never blocks.
    """

    check: str
    group: str
    answer: Answer
    summary: str
    evidence: dict[str, Any] = {}
    more_rows: int | None = None
    smallest_visible: float | None = None
    advisory: bool = False


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one gate run, bound to the digests of everything it judged.

    `record` is the digest of the canonical JSON (the deterministic core), `measured` that of what
    was timed and counted, attached to it. `signature` is Ed25519's, by the key `signed_by`, over
    `statement` (all three in hex).
    """

    verdict_id: str
    model: str
    version: int
    against: int | None
    baseline: str
    answer: Answer
    results: list[CheckResult]
    candidate: str
    production: str
    test_data: str
    contract: str
    record: str
    created_at: int
    actor: str
    replay: bool = False
    measured: str = ""
    signature: str = ""
    signed_by: str = ""

    @property
    def statement(self) -> bytes:
        """What is signed: which verdict, on what, with which answer, from which two records."""
        unsaid = {"results", "signature", "signed_by"}
        said = {name: getattr(self, name) for name in self.__struct_fields__ if name not in unsaid}
        return b"thrive verdict 1\n" + msgspec.json.encode(said, order="sorted")

    @property
    def exit_code(self) -> int:
        """What the command line exits with: 0 pass, 1 fail, 3 cannot tell."""
        return {Answer.PASS: 0, Answer.FAIL: 1, Answer.CANNOT_TELL: 3}[self.answer]

    @property
    def next_hint(self) -> str:
        """What to type next: one that passed needs consent; of another, what to mend."""
        if self.answer is Answer.PASS:
            return f'thrive approvals give {self.model}@{self.version} --reason "..."'
        missed = ", ".join(
            one.check for one in self.results if one.answer is not Answer.PASS and not one.advisory
        )
        return f"mend what did not pass ({missed}), then thrive run and thrive gates run again"


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What the gates said of a version, and the verdict's id."""

    model: str
    answer: Answer
    verdict_id: str


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody's consent that a version may take a step."""

    approval_id: str
    model: str
    version: int
    step: str
    actor: str
    reason: str
    given_at: int
