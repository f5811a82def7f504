"""Candidates that hang, leak, raise or answer NaN, in real processes beside a healthy production."""

import asyncio
import functools
import sys
import time

import msgspec
import polars as pl
import pytest
from tests.serving_home import MODEL, constant_package

from thrive.domain.errors import Refused, UsageError
from thrive.domain.release import Variant
from thrive.packaging.loader import load_folder
from thrive.serving import isolation, shadowing
from thrive.serving.answering import Answerer, NotLogged, prediction_ids
from thrive.serving.asked import Asked
from thrive.serving.assemble import RowAssembler
from thrive.serving.bodies import native_answer
from thrive.serving.counters import WorkerState
from thrive.serving.isolation import CandidateFailed, Isolated
from thrive.serving.live import Beside, LiveModel, Production
from thrive.serving.quick import Asking
from thrive.serving.records import CHOSEN, decode
from thrive.serving.routes import ServedModel
from thrive.store.eventlog import SegmentWriter, read_segment, segments

ROWS = [{"origin": "EWR", "wind": 1.0}]
NAUGHTY = """
import sys, socket, time, numpy as np, msgspec, resource
from thrive.packaging.loader import load_folder
from pathlib import Path
from thrive.serving.candidate import CandidateSettings, serve
from thrive.serving.channel import Reply, frame
settings = msgspec.json.decode(sys.argv[2], type=CandidateSettings)
good = load_folder(Path(settings.packages) / settings.package, digest=settings.package)
class Bad:
    signature = good.signature
    def predict(self, columns):
        wind = columns["wind"][0]
        if wind == 1: return good.predict(columns)
        if wind == 2: sum(range(1 << 62))
        if wind == 3: raise ValueError("no")
        if wind == 4: return np.array([np.nan])
        if wind == 5: return np.ones(1 << 31)
        sys.exit(3)
stream = socket.socket(fileno=settings.socket)
class Noting:
    makefile = stream.makefile
    def sendall(self, data):
        stream.sendall(data)
        Path(settings.packages, "answered").touch()
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
stream.sendall(frame(Reply(0)))
serve(Noting(), Bad(), settings.threshold)
"""
LONG = 300.0
"""A deadline that nothing which answers at all can miss, however slow the machine."""


def in_a_loop(test):
    @functools.wraps(test)
    def run(**fixtures):
        asyncio.run(test(**fixtures))

    return run


@pytest.fixture
def package(tmp_path):
    made = constant_package(0.9)
    made.unpack_to(tmp_path / "packages" / made.digest)
    return made


def isolated(tmp_path, package):
    return Isolated(
        tmp_path / "packages",
        Variant(version=1, package=package.digest, share=1.0),
        MODEL,
        package.manifest.signature,
        0.5,
        program=(sys.executable, "-c", NAUGHTY, "candidate"),
    )


async def reason(candidate, wind):
    with pytest.raises(CandidateFailed) as failed:
        await candidate.ask([{"origin": "EWR", "wind": wind}], LONG)
    return failed.value.reason


@in_a_loop
async def test_each_failure_has_a_name_and_the_process_survives_or_comes_back(tmp_path, package):
    candidate = isolated(tmp_path, package)
    assert await candidate.ready(LONG)
    assert (await candidate.ask(ROWS, LONG)).scores == [0.9]
    assert await reason(candidate, 3.0) == "raised ValueError"
    assert await reason(candidate, 4.0) == "nan"
    assert await reason(candidate, 5.0) == "memory"
    assert "'wind' is the text" in await reason(candidate, "x")
    assert (await candidate.ask(ROWS, LONG)).decisions == [True]
    with pytest.raises(CandidateFailed, match="timeout"):
        await candidate.ask([{"origin": "EWR", "wind": 2.0}], 0.1)
    deadline = time.monotonic() + LONG
    while time.monotonic() < deadline:
        try:
            assert (await candidate.ask(ROWS, LONG)).scores == [0.9]
            break
        except CandidateFailed:
            await asyncio.sleep(0.1)
    assert candidate.restarts == 1
    assert await reason(candidate, 6.0) == "died"
    await candidate.close()


@in_a_loop
async def test_an_answer_that_came_while_this_process_was_busy_is_not_late(tmp_path, package):
    candidate = isolated(tmp_path, package)
    assert await candidate.ready(LONG)
    asked = asyncio.create_task(candidate.ask(ROWS, 0.01))
    await asyncio.sleep(0)
    while not (tmp_path / "packages" / "answered").exists():
        time.sleep(0.05)  # noqa: ASYNC251 - the loop is to be busy
    assert (await asked).scores == [0.9]
    assert candidate.restarts == 0
    await candidate.close()


def live_model(candidate, package, folder, *, share=0.0):
    predictor = load_folder(folder / "packages" / package.digest, digest=package.digest)
    variant = Variant(version=1, package=package.digest, share=1 - share)
    other = Variant(version=2, package=package.digest, share=share or 1.0, shadow=not share)
    assembler = RowAssembler(package.manifest.signature, [])
    beside = [Beside(variant=other, process=candidate, assembler=assembler)]
    return LiveModel(
        served=ServedModel(model=MODEL, revision=1, variants=[variant, other], fallback=0.2),
        production=Production(
            variant=variant,
            predictor=predictor,
            assembler=assembler,
            asking=Asking(predictor),
            quick=None,
        ),
        candidates=beside if share else [],
        shadows=[] if share else beside,
        mask=frozenset(),
    )


def logged(folder):
    return decode([r for each in segments(folder) for r in read_segment(each.path)])


@in_a_loop
async def test_production_answers_for_a_candidate_that_hangs_and_both_are_logged(
    tmp_path, package, monkeypatch
):
    candidate = isolated(tmp_path, package)
    assert await candidate.ready(LONG)
    live = live_model(candidate, package, tmp_path, share=1.0)
    state = WorkerState(worker=0)
    with SegmentWriter(tmp_path / "log", 0) as writer:
        answerer = Answerer(writer, state)
        monkeypatch.setattr(isolation, "DEADLINE_S", LONG)
        good = (await answerer.answer(live, Asked(count=1, rows=ROWS, at=1, key="k")))[0].answer
        assert (good.variant, good.version) == ("candidate", 2)
        monkeypatch.setattr(isolation, "DEADLINE_S", 0.1)
        hung = [{"origin": "EWR", "wind": 2.0}]
        answer = (await answerer.answer(live, Asked(count=1, rows=hung, at=2, key="k")))[0].answer
    await candidate.close()
    assert (answer.variant, answer.version, answer.scores) == ("production", 1, [0.9])
    rows = logged(tmp_path / "log").select("version", "variant", "error", "live_id").rows()
    assert rows[0] == (2, "candidate", "", None)
    assert rows[1] == (1, "production", "", None)
    assert rows[2] == (2, "candidate", "timeout", prediction_ids(answer)[0])
    assert state.variants[f"{MODEL}/2/candidate"].failures == 1


@in_a_loop
async def test_a_caller_chooses_the_version_only_where_the_contract_lets_it(
    tmp_path, package, monkeypatch
):
    monkeypatch.setattr(isolation, "DEADLINE_S", LONG)
    candidate = isolated(tmp_path, package)
    assert await candidate.ready(LONG)
    live = live_model(candidate, package, tmp_path, share=0.5)
    served = msgspec.structs.replace(live.served, override=True)
    chooses = msgspec.structs.replace(live, served=served)
    answered: list[tuple[int, str]] = []
    with SegmentWriter(tmp_path / "log", 0) as writer:
        answerer = Answerer(writer, WorkerState(worker=0))
        for name in ("1", "2", "production", "candidate"):
            asked = Asked(count=1, rows=ROWS, at=1, variant=name)
            (part,) = await answerer.answer(chooses, asked)
            answered.append((part.answer.version, part.answer.variant))
        with pytest.raises(UsageError, match="'7' is no live version of delay"):
            await answerer.answer(chooses, Asked(count=1, rows=ROWS, at=1, variant="7"))
        with pytest.raises(Refused, match="do not choose the version"):
            await answerer.answer(live, Asked(count=1, rows=ROWS, at=1, variant="2"))
    await candidate.close()
    assert answered == [(1, CHOSEN), (2, CHOSEN), (1, CHOSEN), (2, CHOSEN)]


@in_a_loop
async def test_shadows_see_no_more_than_their_share_of_time_allows(tmp_path, package, monkeypatch):
    monkeypatch.setattr(shadowing, "SHADOW_SHARE", 1e-9)
    monkeypatch.setattr(shadowing, "LONGEST_SHADOW_PAUSE_S", 3600.0)
    candidate = isolated(tmp_path, package)
    assert await candidate.ready(LONG)
    live = live_model(candidate, package, tmp_path)
    state = WorkerState(worker=0)
    with SegmentWriter(tmp_path / "log", 0) as writer:
        answerer = Answerer(writer, state)
        running = asyncio.create_task(answerer.shadows.run())
        for _ in range(3):
            asked = Asked(count=1, rows=ROWS, at=1, key="k")
            answerer.shadows.copy(live, asked, await answerer.answer(live, asked), 100)
        for _ in range(int(LONG / 0.02)):
            await asyncio.sleep(0.02)
            if f"{MODEL}/2/shadow" in state.variants:
                break
        await asyncio.sleep(0.1)
        running.cancel()
    await candidate.close()
    assert state.variants[f"{MODEL}/2/shadow"].requests == 1
    assert state.shadow_dropped == 0


@in_a_loop
async def test_a_shadow_that_hangs_is_left_behind_and_counted_and_answers_go_on(
    tmp_path, package, monkeypatch
):
    monkeypatch.setattr(shadowing, "SHADOW_DEADLINE_S", LONG)
    candidate = isolated(tmp_path, package)
    assert await candidate.ready(LONG)
    live = live_model(candidate, package, tmp_path)
    state = WorkerState(worker=0)
    with SegmentWriter(tmp_path / "log", 0) as writer:
        answerer = Answerer(writer, state)
        running = asyncio.create_task(answerer.shadows.run())
        for _ in range(400):
            asked = Asked(count=1, rows=[{"origin": "EWR", "wind": 2.0}], at=1, key="k")
            parts = await answerer.answer(live, asked)
            answerer.shadows.copy(live, asked, parts, 100)
        running.cancel()
    await candidate.close()
    assert state.shadow_dropped >= 400 - 257
    assert state.variants[f"{MODEL}/1/production"].requests == 400


@in_a_loop
async def test_a_caller_who_waits_for_the_log_is_logged_whatever_the_sample(tmp_path, package):
    candidate = isolated(tmp_path, package)
    live = live_model(candidate, package, tmp_path)
    live = msgspec.structs.replace(live, served=msgspec.structs.replace(live.served, sample=0.0))
    state = WorkerState(worker=0)
    with SegmentWriter(tmp_path / "log", 0) as writer:
        answerer = Answerer(writer, state)
        plain = await answerer.answer(live, Asked(count=1, rows=ROWS, at=1))
        synced = await answerer.answer(live, Asked(count=1, rows=ROWS, at=1, sync=True))
        with pytest.raises(NotLogged, match="could not be logged"):
            await answerer.make_durable(plain)
        await answerer.make_durable(synced)
    await candidate.close()
    assert logged(tmp_path / "log")["prediction_id"].to_list() == [synced[0].answer.record_id]
    assert state.variants[f"{MODEL}/1/production"].requests == 2


@in_a_loop
async def test_a_full_log_is_counted_and_the_answer_is_given(tmp_path, package):
    candidate = isolated(tmp_path, package)
    live = live_model(candidate, package, tmp_path)
    state = WorkerState(worker=0)

    class Full:
        dropped = 0

        def append(self, *_):
            raise OSError("no space left on device")

    answer = (await Answerer(Full(), state).answer(live, Asked(count=1, rows=ROWS, at=1)))[0].answer
    await candidate.close()
    assert answer.scores == [0.9]
    assert prediction_ids(answer) == [None]
    assert state.dropped == 1


@in_a_loop
async def test_a_production_that_fails_falls_back_and_says_why(tmp_path, package):
    candidate = isolated(tmp_path, package)
    live = live_model(candidate, package, tmp_path)

    class Broken:
        signature = package.manifest.signature

        def predict(self, _columns):
            raise RuntimeError("broken")

    broken = msgspec.structs.replace(live.production, predictor=Broken(), asking=Asking(Broken()))
    live = msgspec.structs.replace(live, production=broken)
    state = WorkerState(worker=0)
    with SegmentWriter(tmp_path / "log", 0) as writer:
        answer = (await Answerer(writer, state).answer(live, Asked(count=1, rows=ROWS, at=1)))[
            0
        ].answer
    await candidate.close()
    assert (answer.variant, answer.scores) == ("fallback", [0.2])
    assert state.failed == 1
    row = logged(tmp_path / "log").row(0, named=True)
    assert (row["version"], row["variant"], row["error"]) == (1, "fallback", "raised RuntimeError")


@in_a_loop
async def test_rows_of_one_request_are_assigned_one_by_one_and_answered_in_their_order(
    tmp_path, package, monkeypatch
):
    monkeypatch.setattr(isolation, "DEADLINE_S", LONG)
    candidate = isolated(tmp_path, package)
    assert await candidate.ready(LONG)
    live = live_model(candidate, package, tmp_path, share=0.5)
    keyed = RowAssembler(package.manifest.signature, ["flight"])
    beside = msgspec.structs.replace(live.candidates[0], assembler=keyed)
    live = msgspec.structs.replace(
        live,
        served=msgspec.structs.replace(live.served, entity=["flight"]),
        production=msgspec.structs.replace(live.production, assembler=keyed),
        candidates=[beside],
    )
    rows = [{"origin": "EWR", "wind": 1.0, "flight": f"F{number}"} for number in range(200)]
    with SegmentWriter(tmp_path / "log", 0) as writer:
        answerer = Answerer(writer, WorkerState(worker=0))
        parts = await answerer.answer(live, Asked(count=len(rows), rows=rows, at=1))
        again = await answerer.answer(live, Asked(count=len(rows), rows=rows[::-1], at=2))
    await candidate.close()
    assert {part.answer.variant for part in parts} == {"production", "candidate"}
    assert all(70 < len(part.places) < 130 for part in parts)
    assert sorted(place for part in parts for place in part.places) == list(range(200))
    for part in parts:
        assert [rows[place] for place in part.places] == part.rows
    first = {row["flight"]: part.answer.version for part in parts for row in part.rows}
    assert first == {row["flight"]: part.answer.version for part in again for row in part.rows}
    body = msgspec.json.decode(native_answer(parts))
    assert [item["version"] for item in body["predictions"]] == [
        first[row["flight"]] for row in rows
    ]
    logged_rows = logged(tmp_path / "log").filter(pl.col("time") == 1)
    ids = {item["id"]: row["flight"] for item, row in zip(body["predictions"], rows, strict=True)}
    found = dict(logged_rows.select("prediction_id", "k.flight").rows())
    assert found == ids
