"""A candidate that hangs, leaks or answers NaN is ejected, and no caller waits longer for it.

The candidates are real processes: one sleeps for ever holding the interpreter, one keeps all it
allocates until its limit, one answers NaN. Production answers every request instead of them; what
they did is in the log, and the release machine reads it there and rolls back.
"""

import asyncio
import sys
import time

import pytest
from tests.serving_home import CONTRACT, MODEL, add_version, constant_package, live, make_home

from thrive.contract.parse import parse
from thrive.domain.clock import HOUR, machine_now
from thrive.domain.identifiers import new_id
from thrive.domain.release import Phase, PhaseKind, Release, ReleaseState, Variant
from thrive.packaging.loader import load_folder
from thrive.release import machine
from thrive.release.evidence import collect
from thrive.serving.answering import Answerer
from thrive.serving.asked import Asked
from thrive.serving.assemble import RowAssembler
from thrive.serving.counters import WorkerState
from thrive.serving.isolation import DEADLINE_S, Isolated
from thrive.serving.live import Beside, LiveModel, Production
from thrive.serving.quick import Asking
from thrive.serving.routes import ServedModel
from thrive.serving.sealing import seal_logs
from thrive.store.eventlog import SegmentWriter
from thrive.store.prediction_frames import predictions_between

pytestmark = pytest.mark.full

BAD = """
import resource, socket, sys
from pathlib import Path
import msgspec, numpy as np
from thrive.packaging.loader import load_folder
from thrive.serving.candidate import CandidateSettings, limit_growth, serve
from thrive.serving.channel import Reply, frame
settings = msgspec.json.decode(sys.argv[2], type=CandidateSettings)
good = load_folder(Path(settings.packages) / settings.package, digest=settings.package)
kept = []
class Bad:
    signature = good.signature
    def predict(self, columns):
        if sys.argv[1] == "hangs":
            sum(range(1 << 62))
        if sys.argv[1] == "leaks":
            kept.append(np.empty(1 << 23))  # 64 MB of addresses: what the limit counts
            return good.predict(columns)
        return np.array([np.nan])
limit_growth(settings.memory)
stream = socket.socket(fileno=settings.socket)
stream.sendall(frame(Reply(0)))
serve(stream, Bad(), settings.threshold)
"""
ROW = {"origin": "EWR", "wind": 1.5, "flight_id": "f1"}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("hangs", "timeout"), ("leaks", "memory"), ("answers NaN", "nan")],
)
def test_a_bad_candidate_is_ejected_and_callers_are_answered(tmp_path, kind, reason):
    home = make_home(tmp_path)
    package = constant_package(0.9)
    versions = [add_version(home, package), add_version(home, package)]
    package.unpack_to(tmp_path / "packages" / package.digest)
    predictor = load_folder(tmp_path / "packages" / package.digest, digest=package.digest)
    began = machine_now()

    async def main() -> list[tuple[str, float]]:
        program = (sys.executable, "-c", BAD, kind)
        process = Isolated(
            tmp_path / "packages",
            live(versions[1]),
            MODEL,
            predictor.signature,
            0.5,
            program=program,
        )
        assert await process.ready(60)
        assembler = RowAssembler(predictor.signature, ["flight_id"])
        own, other = live(versions[0], 0.5), live(versions[1], 0.5)
        model = LiveModel(
            served=ServedModel(model=MODEL, revision=1, variants=[own, other], fallback=0.2),
            production=Production(
                variant=own,
                predictor=predictor,
                assembler=assembler,
                asking=Asking(predictor),
                quick=None,
            ),
            candidates=[Beside(variant=_all_of(other), process=process, assembler=assembler)],
            shadows=[],
            mask=frozenset(),
        )
        answers: list[tuple[str, float]] = []
        with SegmentWriter(home.log_folder, 0) as writer:
            answerer = Answerer(writer, WorkerState(worker=0))
            for number in range(30):
                at = time.monotonic()
                asked = Asked(rows=[ROW], count=1, at=machine_now(), key=str(number))
                (part,) = await answerer.answer(model, asked)
                assert part.answer.scores == [0.9]
                answers.append((part.answer.variant, time.monotonic() - at))
        await process.close()
        return answers

    answers = asyncio.run(main())
    late = [took for _, took in answers if took > DEADLINE_S + 1.0]
    assert len(late) <= 2, late  # a paused machine may be late once
    assert [variant for variant, _ in answers[-5:]] == ["production"] * 5
    seal_logs(home, force=True)
    logged = predictions_between(home, began, machine_now() + 1, MODEL)
    assert reason in set(logged.filter(logged["version"] == 2)["error"])
    release = Release(
        release_id=new_id(),
        model=MODEL,
        candidate=2,
        production=1,
        phases=[
            Phase(kind=PhaseKind.CANARY, share=0.5, bake=HOUR),
            Phase(kind=PhaseKind.FULL, share=1.0, bake=0),
        ],
        position=0,
        state=ReleaseState.RUNNING,
        phase_started_at=began,
        started_at=began,
        actor="ada",
        verdict="",
        contract="",
    )
    terms = parse(CONTRACT).contract.model[MODEL]
    output = predictor.signature.output
    evidence = collect(home, release, machine_now(), terms, output)
    step = machine.advance(release, evidence, machine_now(), machine.terms_of(terms))
    assert step.release.state is ReleaseState.ROLLED_BACK
    assert "breaker" in step.words
    home.close()


def _all_of(variant: Variant) -> Variant:
    return Variant(version=variant.version, package=variant.package, share=1.0)
