"""Errors on a wire: a record that can be sent, shown shortly, and raised again."""

import inspect
import linecache
import pickle
import traceback
from pathlib import Path

import msgspec

from thrive.domain import errors
from thrive.domain.errors import NotRight, ThriveError

_OURS = str(Path(__file__).resolve().parents[1])
_KNOWN: dict[str, type[ThriveError]] = {
    name: kind
    for name, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, ThriveError)
}
SHOWN_FRAMES = 3
LONGEST_SENTENCE = 500


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An exception as a record.

    Attributes:
        kind: the class name of the exception.
        what: its message.
        hint: what to type next, for our own errors.
        code: the nearest class of our error tree, "" for an error of the user's code.
        place: `file.py:12` of the user's innermost line, "" when there is none.
        frames: the innermost lines of the user's code, as people read them.
        trace: the whole traceback.
        task: the step it happened in, "" for the pipeline function.
        kinds: the class names of the exception and its bases, nearest first.
    """

    kind: str
    what: str
    hint: str = ""
    code: str = ""
    place: str = ""
    frames: list[str] = []
    trace: str = ""
    task: str = ""
    kinds: list[str] = []

    def sentence(self) -> str:
        """Return the error in one sentence: `ValueError: ...`, or the words of our own error."""
        words = self.what if self.code else f"{self.kind}: {self.what}".rstrip(": ")
        return words if len(words) <= LONGEST_SENTENCE else f"{words[:LONGEST_SENTENCE]}..."

    def report(self) -> str:
        """Return the sentence with the user's innermost lines under it."""
        return "\n".join([self.sentence(), *self.frames])


def describe(error: BaseException, *, task: str = "") -> Failure:
    """Return an exception as a record; frames of our own code are left out of `frames`."""
    user = _user_frames(error)
    ours = isinstance(error, ThriveError)
    return Failure(
        kind=type(error).__name__,
        what=error.what if ours else str(error),
        hint=error.hint if ours else "",
        code=_code(error),
        place=f"{Path(user[-1].filename).name}:{user[-1].lineno}" if user else "",
        frames=[_shown(frame) for frame in user[-SHOWN_FRAMES:]],
        trace="".join(traceback.format_exception(error)),
        task=task,
        kinds=[kind.__name__ for kind in type(error).__mro__],
    )


class StepError(Exception):
    """The traceback of a step's process; stands as the cause of the error it raised."""


def raise_again(failure: Failure, pickled: bytes) -> None:
    """Raise in this process what a step raised in its own.

    The exception itself is raised if it could travel, else an error of our tree with its words.
    """
    error: BaseException = restore(failure)
    try:
        if pickled:
            error = pickle.loads(pickled)  # noqa: S301 - written by a step of this run
    except Exception:  # noqa: BLE001 - any class may refuse to be rebuilt
        error = restore(failure)
    error.__cause__ = StepError(failure.trace)
    error.__dict__["thrive_failure"] = failure
    raise error


def restore(failure: Failure) -> ThriveError:
    """Return the record as an error of our tree; an error of the user's code is a NotRight."""
    kind = _KNOWN.get(failure.code, NotRight)
    return kind(failure.sentence(), failure.hint)


def _code(error: BaseException) -> str:
    return next((kind.__name__ for kind in type(error).__mro__ if _is_known(kind)), "")


def _is_known(kind: type) -> bool:
    return _KNOWN.get(kind.__name__) is kind


def _user_frames(error: BaseException) -> list[traceback.FrameSummary]:
    frames = list(traceback.extract_tb(error.__traceback__))
    if isinstance(error, SyntaxError) and error.filename:
        place = traceback.FrameSummary(error.filename, error.lineno or 0, "<module>")
        frames.append(place)
    return [frame for frame in frames if _is_user(frame.filename)]


def _is_user(filename: str) -> bool:
    return (
        not filename.startswith((_OURS, "<"))
        and "site-packages" not in filename
        and "/lib/python3" not in filename
    )


def _shown(frame: traceback.FrameSummary) -> str:
    line = linecache.getline(frame.filename, frame.lineno or 0).strip()
    return f"  {Path(frame.filename).name}:{frame.lineno} in {frame.name}: {line}"
