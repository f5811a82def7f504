"""Explaining over HTTP: in a process of its own, so that no caller of a model waits for it.

An explanation asks the model thousands of times. The process looks for the prediction where its
host has it: in the segments of its log, and, on a machine with a home, in what was sealed. As it
runs a model it is told no password: the stores of a team are open to `thrive predictions explain`.
"""

import asyncio
import contextlib
import sys
from pathlib import Path

import msgspec

from thrive.domain.errors import (
    CannotTell,
    InfrastructureError,
    NotFound,
    ThriveError,
    UsageError,
)
from thrive.serving import environment
from thrive.serving.asgi import HttpError
from thrive.store.eventlog.prediction_id import parse_prediction_id

AT_ONCE = 2
"""Explanations at work at a time, in one worker; whoever comes then is told to come back."""
LONGEST_S = 60.0
_STATUS = {NotFound: 404, CannotTell: 409, UsageError: 422}


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is started with."""

    prediction_id: str
    cache: str
    log: str


class Refusal(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Why there is no explanation, with the HTTP status that says so."""

    status: int
    code: str
    what: str
    hint: str


class Explainer:
    """Has predictions explained.

    Args:
        cache: the cache folder of the home.
        log: the folder of the prediction log.
    """

    def __init__(self, cache: Path, log: Path) -> None:
        self._cache = cache
        self._log = log
        self._at_work = 0

    async def explain(self, prediction_id: str) -> bytes:
        """Return the explanation of a prediction as JSON.

        Raises:
            HttpError: 422 for what is no id, 404 for an unknown one, 409 where the record does
                not hold what is needed, 429 for too many at a time, 504 after a minute.
        """
        try:
            parse_prediction_id(prediction_id)
        except UsageError as error:
            raise HttpError(422, error.code, error.what, error.hint) from None
        if self._at_work >= AT_ONCE:
            raise HttpError(
                429,
                "TooManyRequests",
                f"{AT_ONCE} explanations are at work.",
                "come back in a few seconds",
                headers=[(b"retry-after", b"5")],
            )
        self._at_work += 1
        try:
            return await self._ask(prediction_id)
        finally:
            self._at_work -= 1

    async def _ask(self, prediction_id: str) -> bytes:
        wanted = Wanted(prediction_id=prediction_id, cache=str(self._cache), log=str(self._log))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "thrive.serving.explainer",
            msgspec.json.encode(wanted).decode(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env=environment.of_model(),
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(), LONGEST_S)
        except TimeoutError:
            hint = f"thrive predictions explain {prediction_id}"
            raise HttpError(504, "TooSlow", f"It took over {LONGEST_S:g} s.", hint) from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        if process.returncode == 0:
            return said
        try:
            refusal = msgspec.json.decode(said, type=Refusal)
        except msgspec.MsgspecError:
            raise HttpError(500, "InternalError", "The explanation failed; see the log.") from None
        raise HttpError(refusal.status, refusal.code, refusal.what, refusal.hint)


def explained(wanted: Wanted) -> object:
    """Return the explanation of a prediction on this host.

    Raises:
        NotFound: neither this host's log nor its home has it.
        CannotTell: the record does not hold what is needed.
    """
    from thrive.serving.explaining import explain_on_host, explain_prediction
    from thrive.store.home import HOME_RECORD, open_home

    cache = Path(wanted.cache)
    if not (cache.parent / HOME_RECORD).is_file():
        return explain_on_host(cache, Path(wanted.log), wanted.prediction_id)
    try:
        with contextlib.closing(open_home(cache.parent.parent)) as home:
            return explain_prediction(home, wanted.prediction_id)
    except InfrastructureError:  # a team's stores may ask for a password: it is not told here
        return explain_on_host(cache, Path(wanted.log), wanted.prediction_id)


def main() -> None:
    """Explain the prediction named in the first argument; 1 and a refusal if that cannot be."""
    wanted = msgspec.json.decode(sys.argv[1], type=Wanted)
    try:
        found = explained(wanted)
    except ThriveError as error:
        status = next((s for kind, s in _STATUS.items() if isinstance(error, kind)), 503)
        found = Refusal(status=status, code=error.code, what=error.what, hint=error.hint)
    sys.stdout.buffer.write(msgspec.json.encode(found))
    sys.exit(isinstance(found, Refusal))


if __name__ == "__main__":
    main()
