"""What each check asks, and what helps when it does not pass: the words beside the numbers."""

from typing import Any

import msgspec

from thrive.domain.errors import NotFound
from thrive.domain.gate import Answer, CheckResult, Verdict
from thrive.gates.formats.wording import settles, worst_first

ASKS: dict[str, tuple[str, str]] = {
    "quality": (
        "Is it not worse than its rival by more than the margin, on the same rows?",
        "train longer, on more or newer data; a wider margin is a decision of the contract",
    ),
    "slices": (
        "Is it not shown worse in any declared slice, corrected for how many there are?",
        "look at the rows of the slice that is named; train with more of them",
    ),
    "found slices": (
        "Is it worse in a slice nobody named, found on half the rows, judged on the other half?",
        "declare the slice in the contract; train with more of its rows",
    ),
    "calibration": (
        "Do scores mean the shares they say, but for chance? Informs, and never blocks.",
        "calibrate the model on rows it was not trained on",
    ),
    "leak": (
        "Was it trained on the rows it is judged on? Informs while that is not recorded.",
        "split before fitting; give register(trained_on=...) the rows it was fitted on",
    ),
    "labels": (
        "How often do rows with the same inputs have different labels? Informs, and never blocks.",
        "look at how rows are labelled; what tells such rows apart may be missing among the inputs",
    ),
    "groups": (
        "Which rates has each group, and which are too small to judge? Informs, and never blocks.",
        "collect more rows of the groups that are too small",
    ),
    "answers": (
        "Does it load in a fresh process and answer every row with a finite number?",
        "thrive models show says what it was packed with; pack it again",
    ),
    "contract": (
        "Does the stored contract answer all that production asks?",
        "thrive check --for production, then register again",
    ),
    "data": (
        "May the data it was trained on serve this purpose, and for this long?",
        "mend the data's terms in thrive.toml with its owner",
    ),
    "package": (
        "Is its format one that runs no code when it is loaded, and is its code known?",
        "register it in a safe format, from a commit",
    ),
    "environment": (
        "Is it written down with what it was made? Informs, and never blocks.",
        "register it from a run, from a commit",
    ),
    "licence": (
        "Are licence and retention of its data written, and do they allow this? Informs.",
        "write licence and retention of the data in thrive.toml, or ask its owner",
    ),
    "lock file": (
        "Were its libraries those of the lock file beside its code? Informs, and never blocks.",
        "commit a lock file (pylock.toml, uv.lock, requirements.txt), install from it, train again",
    ),
    "seal": (
        "Who vouches for it by a signature? Informs: one whose seal is wrong is never loaded.",
        "thrive models sign",
    ),
    "duties": (
        "Which duties will block its release? Informs: they are met by answers, not by a model.",
        "type what stands beside each; thrive duties list MODEL names all that is owed",
    ),
    "retention": (
        "May the data it was trained on still be kept today?",
        "train on newer data, or state a longer retention with the data's owner",
    ),
    "contract on disk": (
        "Does thrive.toml ask what it was judged by? Informs, and never blocks.",
        "register it again to be judged by the file",
    ),
    "noise": (
        "Do answers hardly move when numbers hardly move? Informs, and never blocks.",
        "look at the rows that jump; smoother features or fewer splits",
    ),
    "speed": (
        "Is it not slower than its rival, call by call in turns on one processor?",
        "fewer trees or features; or accept a higher ratio in the contract",
    ),
    "test data reuse": (
        "How many candidates were judged on these rows? Informs, and never blocks.",
        "take fresh rows: the more are judged on the same, the more fit them by chance",
    ),
}
_BY_GROUP: dict[str, tuple[str, str]] = {
    "bias": (
        "Is each group treated as the rest is, within the limit, corrected for many groups?",
        "look at the labels and the share of the group; more of its rows; another threshold",
    ),
    "robustness": (
        "Does it answer odd rows, or refuse them with a message, without a crash?",
        'handle such values in the pipeline, or have them refused: inputs = { unseen = "refuse" }',
    ),
    "own": ("A check of the team's own.", "ask whoever wrote it"),
}


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """One check in words: what it asks, what it found, what would settle or mend it."""

    check: str
    answer: Answer
    asks: str
    found: str
    next: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict in words, the worst checks first."""

    verdict_id: str
    model: str
    version: int
    answer: Answer
    checks: list[Explained]

    @property
    def exit_code(self) -> int:
        """What the command line exits with: explaining succeeds, whatever the answer was."""
        return 0


def explain(found: Verdict, check: str) -> Explanation:
    """Return a verdict in words, or one check of it with every number of its evidence.

    Raises:
        NotFound: the verdict has no such check.
    """
    results = [one for one in found.results if check in ("", one.check)]
    if not results:
        known = ", ".join(one.check for one in found.results)
        raise NotFound(f"The verdict has no check {check!r}.", f"one of: {known}")
    return Explanation(
        verdict_id=found.verdict_id,
        model=found.model,
        version=found.version,
        answer=found.answer,
        checks=[_explained(one, whole=bool(check)) for one in worst_first(results)],
    )


def _explained(one: CheckResult, *, whole: bool) -> Explained:
    asks, mends = ASKS.get(one.check) or _BY_GROUP.get(one.group, ("", ""))
    found = one.summary
    if whole:
        found = "\n".join([found, *_numbers(one.evidence)])
    steps = [settles(one)] if settles(one) else []
    if one.answer is not Answer.PASS:
        steps.append(mends)
    return Explained(
        check=one.check, answer=one.answer, asks=asks, found=found, next="; ".join(steps)
    )


def _numbers(evidence: dict[str, Any]) -> list[str]:
    return [f"{name}: {msgspec.json.encode(value).decode()}" for name, value in evidence.items()]
