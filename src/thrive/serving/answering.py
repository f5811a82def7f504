"""One request, answered and logged: by its version, else by production, else by the fallback."""

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import Any

import msgspec
from numpy.typing import NDArray

from thrive.contract.fallback import answer_by_rules
from thrive.domain.errors import InfrastructureError, Refused, ThriveError, UsageError
from thrive.domain.left_out import LEFT_OUT
from thrive.packaging.rows import InvalidRows
from thrive.serving import records
from thrive.serving.answers import Answer, NotANumber, Part, read_answer, read_fallback
from thrive.serving.asked import Asked
from thrive.serving.assemble import Assembled, FeaturesMissing, read_keys
from thrive.serving.counters import WorkerState
from thrive.serving.isolation import CandidateFailed
from thrive.serving.live import Beside, LiveModel, Production
from thrive.serving.quick import QuickRows
from thrive.serving.records import Logged, RowsEncoder
from thrive.serving.shadowing import Shadows
from thrive.store.eventlog.prediction_id import row_ids
from thrive.store.eventlog.writer import SegmentWriter

_logger = logging.getLogger(__name__)

_ALONE: list[int] = []
"""The places of a part that is the whole answer: nobody looks at them."""
_NO_VIEWS: dict[str, list[str]] = {}
Raw = NDArray[Any]
Request = Assembled | QuickRows
"""The rows of a request, in either way of reading them."""


class NobodyAnswers(InfrastructureError):
    """No version could answer and the contract has no fallback."""


class NotLogged(InfrastructureError):
    """The log has no room for an answer that was asked to be logged before it is sent."""


class Unlogged(msgspec.Struct, frozen=True, gc=False):
    """Production's answer to plain rows, before it is logged; the names are as in `Answerer`."""

    live: LiveModel
    asked: Asked
    answer: Answer
    rows: QuickRows
    encoder: RowsEncoder


class Answerer:
    """Answers requests of one worker.

    Args:
        writer: where answers are logged.
        state: where they are counted.
    """

    def __init__(self, writer: SegmentWriter, state: WorkerState) -> None:
        self._writer = writer
        self._state = state
        self.shadows = Shadows(state, self._write)
        """Those that see copies of what was answered."""

    async def answer(self, live: LiveModel, asked: Asked) -> list[Part]:
        """Return the answer to a request, logged: a part for each version that answered rows of it.

        While candidates run, rows are assigned one by one by their entity, so that the variants
        see like rows even when requests are large.

        Raises:
            InvalidRows: the rows do not fit the signature.
            UsageError: there is no row.
            NobodyAnswers: no version can answer, and there is no fallback.
            Refused: a row is about a person who is left out.
        """
        _refuse_left_out(live, asked)
        production = live.production
        if production is None:
            return [_whole(asked, self._without_version(live, asked))]
        try:
            assembled = production.assembler.read(asked.rows, asked.at)
        except FeaturesMissing as error:
            return [_whole(asked, self._without_features(live, asked, error))]
        if asked.variant is not None:
            return [_whole(asked, await self._answer_chosen(live, asked, production, assembled))]
        if not live.candidates:
            answer = await self._ask_production(live, asked, production, assembled)
            return [_whole(asked, answer)]
        groups: dict[int, tuple[Beside | None, list[int]]] = {}
        for place, key in enumerate(_keys(live, asked, assembled)):
            chosen = live.candidate_for(key)
            groups.setdefault(id(chosen), (chosen, []))[1].append(place)
        return [
            await self._answer_part(live, asked, production, chosen, places)
            for chosen, places in groups.values()
        ]

    async def answer_rows(self, live: LiveModel, asked: Asked, rows: QuickRows) -> list[Part]:
        """Return production's answer to rows that were read the quick way, logged.

        Raises:
            UsageError: the model does not take a value.
            NobodyAnswers: the model failed, and there is no fallback.
        """
        production = live.production
        assert production is not None
        quick = production.quick
        assert quick is not None
        try:
            raw = await production.asking.rows(rows.read.rows)
            answer = _answer_of(live, production, raw)
            self.keep_rows([Unlogged(live, asked, answer, rows, quick.encoder)])
            return [_whole(asked, answer)]
        except Exception as error:  # noqa: BLE001 - whatever a model raises, callers get an answer
            return [_whole(asked, self._production_failed(live, asked, production, rows, error))]

    def answer_at_once(self, live: LiveModel, asked: Asked, rows: QuickRows) -> Unlogged | None:
        """Return production's answer to rows that were read the quick way, in this turn.

        It is for `keep_rows` before it leaves. None where there is none now, or the model fails:
        `answer_rows` says then what becomes of the request.
        """
        production = live.production
        if production is None or production.quick is None or production.asking.at_once is None:
            return None
        try:
            answer = _answer_of(live, production, production.asking.at_once(rows.read.rows))
        except Exception:  # noqa: BLE001 - whatever a model raises, it is asked again and told
            return None
        return Unlogged(live, asked, answer, rows, production.quick.encoder)

    async def _answer_chosen(
        self, live: LiveModel, asked: Asked, production: Production, assembled: Assembled
    ) -> Answer:
        """Return the answer of the version that the caller named; it is judged by nobody.

        Raises:
            Refused: the contract does not let callers choose.
            UsageError: the version is not live.
            NobodyAnswers: it failed.
        """
        if not live.served.override:
            raise Refused(
                f"Callers of {live.served.model} do not choose the version that answers.",
                f"set override = true in [model.{live.served.model}.release], or leave out "
                "X-Variant",
            )
        versions = {str(each.variant.version): each for each in (*live.candidates, *live.shadows)}
        own = str(production.variant.version)
        if asked.variant in {own, records.PRODUCTION}:
            return await self._ask_production(live, asked, production, assembled, records.CHOSEN)
        if asked.variant == records.CANDIDATE and live.candidates:
            chosen: Beside | None = live.candidates[0]
        else:
            chosen = versions.get(asked.variant or "")
        if chosen is None:
            raise UsageError(
                f"{str(asked.variant)[:40]!r} is no live version of {live.served.model}.",
                f"choose of {', '.join([own, *versions])}",
            )
        try:
            return await self._ask_candidate(live, asked, chosen, records.CHOSEN)
        except CandidateFailed as error:
            raise NobodyAnswers(
                f"Version {chosen.variant.version} did not answer: {error.reason}.",
                "leave out X-Variant",
            ) from None

    async def make_durable(self, parts: list[Part]) -> None:
        """Bring the records of an answer to the disk: they survive a loss of power afterwards.

        Raises:
            NotLogged: one has no record, or the disk refuses.
        """
        cause: OSError | None = None
        if all(part.answer.record_id for part in parts):
            try:
                return await asyncio.to_thread(self._writer.sync)
            except OSError as error:
                cause = error
        raise NotLogged(
            "The answer could not be logged on this host.",
            "free some space on its disk, or ask without logged=sync",
        ) from cause

    def _without_version(self, live: LiveModel, asked: Asked) -> Answer:
        return self._fall_back(live, asked, 0, _read_without_model(live, asked), "")

    def _without_features(self, live: LiveModel, asked: Asked, error: FeaturesMissing) -> Answer:
        assert live.production is not None
        version = live.production.variant.version
        return self._fall_back(
            live, asked, version, error.assembled, f"no value of view {error.view}"
        )

    async def _answer_part(
        self,
        live: LiveModel,
        asked: Asked,
        production: Production,
        chosen: Beside | None,
        places: list[int],
    ) -> Part:
        """Answer some rows by their candidate, or by production where it fails."""
        rows = [asked.rows[place] for place in places]
        part = msgspec.structs.replace(asked, rows=rows, count=len(rows))
        failure: tuple[Beside, str] | None = None
        if chosen is not None:
            try:
                answer = await self._ask_candidate(live, part, chosen)
                return Part(places=places, rows=part.rows, answer=answer)
            except CandidateFailed as error:
                if not chosen.process.closed:  # else the routing moved on: that is no failure
                    failure = (chosen, error.reason)
        assembled = production.assembler.read(part.rows, asked.at)
        answer = await self._ask_production(live, part, production, assembled)
        if failure is not None:
            self._log_failure(live, part, *failure, live_id=answer.record_id)
        return Part(places=places, rows=part.rows, answer=answer)

    async def _ask_production(
        self,
        live: LiveModel,
        asked: Asked,
        production: Production,
        assembled: Assembled,
        variant: str = records.PRODUCTION,
    ) -> Answer:
        try:
            raw = await production.asking.columns(assembled.columns, assembled.rows)
            return self._answered(live, asked, production, assembled, raw, variant)
        except Exception as error:  # noqa: BLE001 - whatever a model raises, callers get an answer
            return self._production_failed(live, asked, production, assembled, error)

    def _answered(
        self,
        live: LiveModel,
        asked: Asked,
        production: Production,
        read: Request,
        raw: Raw,
        variant: str = records.PRODUCTION,
    ) -> Answer:
        """Return production's answer, logged.

        Raises:
            NotANumber: it is none.
        """
        answer = _answer_of(live, production, raw, variant, read.status)
        self._keep(live, asked, answer, read)
        return answer

    def _production_failed(
        self,
        live: LiveModel,
        asked: Asked,
        production: Production,
        read: Request,
        error: Exception,
    ) -> Answer:
        """Return the fallback's answer; a value that the model refuses is the caller's to mend."""
        if isinstance(error, UsageError):
            raise error
        nan = isinstance(error, NotANumber)
        version = production.variant.version
        if not nan:
            _logger.error("%s@%d failed", live.served.model, version, exc_info=error)
        reason = "nan" if nan else f"raised {type(error).__name__}"
        return self._fall_back(live, asked, version, read, reason)

    async def _ask_candidate(
        self, live: LiveModel, asked: Asked, chosen: Beside, variant: str = records.CANDIDATE
    ) -> Answer:
        try:
            assembled = chosen.assembler.read(asked.rows, asked.at)
        except (InvalidRows, FeaturesMissing) as error:
            raise CandidateFailed(f"input: {error.what}"[:200]) from None
        reply = await chosen.process.ask(chosen.own_rows(assembled.inputs))
        answer = Answer(
            model=live.served.model,
            version=chosen.variant.version,
            variant=variant,
            scores=reply.scores,
            decisions=reply.decisions,
            features=assembled.status,
        )
        self._keep(live, asked, answer, assembled)
        return answer

    def _log_failure(
        self, live: LiveModel, asked: Asked, chosen: Beside, reason: str, *, live_id: str
    ) -> None:
        """Log that a candidate did not answer; production did, under `live_id`."""
        if not live_id:
            return
        self._write(
            asked,
            Logged(
                m=live.served.model,
                v=chosen.variant.version,
                a=records.CANDIDATE,
                t=asked.at,
                n=asked.count,
                us=asked.micros(),
                e=reason,
                p=live_id,
                c=asked.trace,
            ),
        )

    def _fall_back(
        self, live: LiveModel, asked: Asked, version: int, read: Request, reason: str
    ) -> Answer:
        served = live.served
        self._state.failed += bool(reason)
        answers = answer_by_rules(live.rules, _objects(asked, read), served.fallback)
        known = [each for each in answers if each is not None]
        if len(known) < asked.count:
            raise NobodyAnswers(
                f"No version of {served.model} can answer, and the contract has no fallback.",
                f"thrive releases start {served.model}, or set its fallback in thrive.toml",
            )
        scores, decisions = read_fallback(known, served.threshold)
        answer = Answer(
            model=served.model,
            version=version,
            variant=records.FALLBACK,
            scores=scores,
            decisions=decisions,
            features=read.status,
        )
        self._keep(live, asked, answer, read, reason)
        return answer

    def _keep(
        self, live: LiveModel, asked: Asked, answer: Answer, read: Request, error: str = ""
    ) -> None:
        """Log an answer, unless the sample leaves it out; the answer gets the record's id."""
        micros = asked.micros()
        self._state.count(
            answer.model,
            answer.version,
            answer.variant,
            rows=asked.count,
            micros=micros,
            failed=bool(error),
        )
        if live.served.sample < 1 and not _is_drawn(live, asked):
            return
        logged = Logged(
            m=answer.model,
            v=answer.version,
            a=answer.variant,
            t=asked.at,
            n=asked.count,
            x=read.logged(live.mask),
            k=records.unmasked(read.keys, live.mask),
            y=answer.scores,
            d=answer.decisions,
            us=micros,
            e=error,
            c=asked.trace,
        )
        answer.record_id = self._append(records.KIND, asked, records.encode(logged))

    def keep_rows(self, answered: Sequence[Unlogged]) -> None:
        """Log production's answers to plain rows; as `_keep`, at a quarter of its cost.

        Those of one turn are logged together, which halves the cost again.
        """
        drawn: list[Unlogged] = []
        made: list[tuple[int, bytes, int]] = []
        for each in answered:
            asked, answer, read = each.asked, each.answer, each.rows.read
            micros = asked.micros()
            self._state.count(
                answer.model,
                answer.version,
                answer.variant,
                rows=asked.count,
                micros=micros,
                failed=False,
            )
            if each.live.served.sample < 1 and not _is_drawn(each.live, asked):
                continue
            payload = each.encoder.encode(
                asked.at, micros, read.rows, read.keys, answer.scores, answer.decisions, asked.trace
            )
            drawn.append(each)
            made.append((asked.at, payload, asked.count))
        if drawn:
            self._append_all(drawn, made)

    def _append_all(self, drawn: list[Unlogged], made: list[tuple[int, bytes, int]]) -> None:
        names = self._writer.append_all(records.ROWS, made) if len(made) > 1 else None
        if names is None:  # one alone, or there is no room for all of them in the segment
            names = [
                self._append(records.ROWS, each.asked, payload)
                for each, (_, payload, _) in zip(drawn, made, strict=True)
            ]
        for each, name in zip(drawn, names, strict=True):
            each.answer.record_id = name

    def _write(self, asked: Asked, logged: Logged) -> None:
        """Count and log what a version beside production did."""
        self._state.count(
            logged.m, logged.v, logged.a, rows=logged.n, micros=logged.us, failed=bool(logged.e)
        )
        self._append(records.KIND, asked, records.encode(logged))

    def _append(self, kind: int, asked: Asked, payload: bytes) -> str:
        """Append a record and return its id, "" when the log has no room: never an error."""
        try:
            return self._writer.append(kind, asked.at, payload, asked.count)
        except (ThriveError, OSError) as error:
            if not self._state.dropped:
                _logger.error("predictions are answered and not logged: %s", error)  # noqa: TRY400
            self._state.dropped += asked.count
            return ""


def prediction_ids(answer: Answer) -> list[str | None]:
    """Return the id of each row of an answer; None for one that was not logged."""
    rows = len(answer.decisions)
    return [*row_ids(answer.record_id, rows)] if answer.record_id else [None] * rows


def _answer_of(
    live: LiveModel,
    production: Production,
    raw: Raw,
    variant: str = records.PRODUCTION,
    features: dict[str, list[str]] = _NO_VIEWS,
) -> Answer:
    """Return what production says in its raw answer.

    Raises:
        NotANumber: a score is none.
    """
    output = production.predictor.signature.output
    scores, decisions = read_answer(output, live.served.threshold, raw)
    return Answer(
        model=live.served.model,
        version=production.variant.version,
        variant=variant,
        scores=scores,
        decisions=decisions,
        features=features,
    )


def _refuse_left_out(live: LiveModel, asked: Asked) -> None:
    """Refuse a request about a person who is left out; nothing of it is logged."""
    for people in live.served.left_out:
        places = people.rows_about(asked.rows)
        if places:
            raise Refused(
                f"Row {places[0]} {LEFT_OUT}.",
                "decide without the model, or ask without the row; thrive restrictions list",
            )


def _whole(asked: Asked, answer: Answer) -> Part:
    return Part(places=_ALONE, rows=asked.rows, answer=answer)


def _objects(asked: Asked, read: Request) -> list[dict[str, Any]]:
    """Return the rows of a request as objects, however they were read."""
    if isinstance(read, QuickRows):
        names = (*read.names, *read.key_names)
        keys = read.read.keys or [()] * read.rows
        return [
            dict(zip(names, (*row, *more), strict=True))
            for row, more in zip(read.read.rows, keys, strict=True)
        ]
    return asked.rows


def _is_drawn(live: LiveModel, asked: Asked) -> bool:
    return asked.sync or random.random() < live.served.sample  # noqa: S311 - no secret


def _keys(live: LiveModel, asked: Asked, assembled: Assembled) -> list[str]:
    """Return the key of each row: the caller's, else its entity's, else chance."""
    if asked.key is not None:
        return [asked.key] * assembled.rows
    columns = [assembled.keys[name] for name in live.served.entity]
    if not columns:
        return [str(random.getrandbits(64))] * assembled.rows
    return [
        str(random.getrandbits(64)) if None in values else "|".join(map(str, values))
        for values in zip(*columns, strict=True)
    ]


def _read_without_model(live: LiveModel, asked: Asked) -> Assembled:
    """Check rows by the signature of a version in the shadow, or by their keys alone."""
    if live.shadows:
        try:
            return live.shadows[0].assembler.read(asked.rows, asked.at)
        except FeaturesMissing as error:
            return error.assembled
    keys = read_keys(asked.rows, live.served.keys)
    return Assembled(rows=asked.count, columns={}, keys=keys)
