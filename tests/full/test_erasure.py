"""Nothing of an erased person is left: every byte of a home is decoded and searched, kills included.

The searching here is independent of the product's own: it knows the formats, not the house.
"""

import base64
import io
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import polars as pl
import pyarrow as pa
import pytest
from tests.decoding import decoded, needles
from tests.planted import NUMBER, OTHERS, PERSON, answer, plant_data, plant_model, tell_outcomes

from thrive.data.operations import add
from thrive.domain.actor import local_actor
from thrive.domain.erasure import ErasureState
from thrive.domain.run import Artifact, RunState, StepRecord
from thrive.flows.erasure.erasing import STEPS, erase
from thrive.operations import Context
from thrive.serving.sealing import seal_logs
from thrive.store import audit, erasures, runs
from thrive.store.eventlog import SegmentWriter
from thrive.store.home import create_home, open_home
from thrive.training.artifacts import encode

pytestmark = pytest.mark.full
WHY = "request 17"


def where_it_is(folder: Path, value: str) -> list[str]:
    """Return every file under a home that holds the value, decoded."""
    wanted = needles(value)
    return [
        str(path.relative_to(folder))
        for path in sorted(each for each in folder.rglob("*") if each.is_file())
        if any(needle in part for part in decoded(path.read_bytes()) for needle in wanted)
    ]


def plant_everything(ctx: Context, folder: Path) -> None:
    """Put the person into data of every format, packs, pieces, logs, artifacts and the database."""
    plant_data(ctx, folder)
    small = folder / "small"
    small.mkdir()
    for number in range(50):
        pl.DataFrame({"customer": [OTHERS[0]], "n": [number]}).write_parquet(
            small / f"{number}.parquet"
        )
    pl.DataFrame({"customer": [PERSON, OTHERS[1]], "n": [1, 2]}).write_parquet(small / "7.parquet")
    add(ctx, "small", name="small")
    rows = [f"{OTHERS[number % 3]},{number}" for number in range(90_000)]
    rows[45_000] = f"{PERSON},1"
    big = folder / "big.csv"
    for more in (["a@example.org,1"], ["a@example.org,1", "b@example.org,2"]):
        big.write_text("\n".join(["customer,amount", *rows, *more, ""]))
        add(ctx, "big.csv", name="big")
    judged = pl.DataFrame({"customer": [PERSON, OTHERS[0]], "_label": [1, 0], "_score": [0.1, 0.2]})
    target = io.BytesIO()
    judged.write_parquet(target)
    table = ctx.home.blobs.put(target.getvalue())
    run_id = plant_model(ctx, "orders@1", evaluation=table, reference=table)
    arrow = io.BytesIO()
    judged.write_ipc(arrow, compression="uncompressed")
    kept = {
        "arrow": ("rows", arrow.getvalue()),
        "text": ("log", f"read {PERSON}\nread others\n".encode()),
        "json": ("params", f'{{"who": "{PERSON}"}}'.encode()),
        "pickle": ("load", b"".join(encode([PERSON, *OTHERS], "a result")[1])),
    }
    with ctx.observe("run") as tx:
        for kind, (name, data) in kept.items():
            artifact = Artifact(
                run_id=run_id,
                name=name,
                kind=kind,
                digest=ctx.home.blobs.put(data),
                size=len(data),
                created_at=1,
            )
            runs.save_artifact(tx, ctx.project_id, artifact)
    ctx.home.blobs.put(zstd(f"nobody uses {PERSON}".encode() * 9))
    small = b"".join(encode({"who": PERSON}, "a result")[1])
    result = {"kind": "pickle", "digest": "0" * 64, "size": 1}
    step = StepRecord(
        run_id=run_id,
        position=0,
        name="each",
        state=RunState.DONE,
        started_at=1,
        index=0,
        result={**result, "data": base64.b64encode(small).decode()},
    )
    with ctx.observe("run") as tx:
        runs.save_step(tx, ctx.project_id, step)
    with SegmentWriter(ctx.home.log_folder, 0) as writer:
        ids = [answer(writer, [OTHERS[0], PERSON]), answer(writer, [PERSON])]
    seal_logs(ctx.home, force=True)
    tell_outcomes(ctx, *ids)
    with ctx.read() as tx:
        run = runs.get(tx, ctx.project_id, run_id)
    for text in (PERSON * 300, ""):  # the first is left behind in a free page, or in the WAL
        with ctx.observe("run") as tx:
            runs.save(tx, ctx.project_id, msgspec.structs.replace(run, error=text))


def zstd(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data).to_pybytes()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, made once: each test gets a copy."""
    project = tmp_path_factory.mktemp("planted")
    home = create_home(project, "shop")
    plant_everything(Context(home, local_actor("ann"), folder=project, operation="test"), project)
    home.close()
    return project


@pytest.fixture
def planted(template: Path, tmp_path: Path) -> Iterator[Context]:
    project = tmp_path / "project"
    shutil.copytree(template, project)
    home = open_home(project)
    yield Context(home, local_actor("ann"), folder=project, operation="test")
    home.close()


def test_every_byte_of_a_home_is_free_of_the_person(planted: Context) -> None:
    folder = planted.home.folder
    before = where_it_is(folder, PERSON)
    assert len([each for each in before if each.startswith("blobs/")]) >= 12, before
    assert any("thrive.db" in each for each in before)
    assert where_it_is(folder, str(NUMBER))

    report = erase(planted, PERSON, reason=WHY, yes=True)
    assert (report.state, report.left) == ("done", [])
    assert where_it_is(folder, PERSON) == []

    report = erase(planted, str(NUMBER), reason=WHY, yes=True)
    assert (report.state, report.left) == ("done", [])
    assert where_it_is(folder, str(NUMBER)) == []
    assert where_it_is(folder, OTHERS[0])
    with planted.read() as tx:
        assert audit.first_broken(tx, planted.project_id) is None


def test_free_pages_of_the_database_are_searched_too(planted: Context) -> None:
    path = planted.home.folder / "thrive.db"
    erase(planted, PERSON, reason=WHY, yes=True)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA freelist_count").fetchone() == (0,)


KILLED = """
import os, signal, sys
from pathlib import Path
from thrive.domain.actor import local_actor
from thrive.domain.erasure import ErasureState
from thrive.flows.erasure import erasing
from thrive.flows.erasure.erasing import STEPS, erase
from thrive.domain.erasure import ErasureState
from thrive.operations import Context
from thrive.store.home import open_home

folder, state, when, person = Path(sys.argv[1]), ErasureState(sys.argv[2]), sys.argv[3], sys.argv[4]
step = STEPS[state]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def dying(work, erasure):
    if when == "before":
        die()
    if when == "middle":
        import thrive.store.blobs.folder as blobs
        count = 0
        def counted(name):
            real = getattr(blobs.FolderBlobs, name)
            def call(self, *given, **named):
                nonlocal count
                count += 1
                if count > 2:
                    die()
                return real(self, *given, **named)
            setattr(blobs.FolderBlobs, name, call)
        counted("put")
        counted("delete")
    done = step(work, erasure)
    die()

STEPS[state] = dying
home = open_home(folder)
erase(Context(home, local_actor("ann"), folder=folder, operation="data erase"), person,
      reason="request 17", yes=True)
"""


@pytest.mark.parametrize("when", ["before", "middle", "after"])
def test_an_erasure_goes_on_after_a_kill_at_every_step(planted: Context, when: str) -> None:
    folder = planted.local_folder()
    alone = [state for state in STEPS if state is not ErasureState.ASKED]  # nobody else is there
    for state in alone:
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, str(folder), state.value, when, PERSON],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ},
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        with planted.read() as tx:
            waiting = erasures.unfinished(tx, planted.project_id)
            ended = erasures.find(tx, planted.project_id)
        assert len(ended) == 1
        if not waiting:
            break
    report = erase(planted, PERSON, reason=WHY, yes=True)
    assert (report.state, report.left) == ("done", [])
    assert where_it_is(planted.home.folder, PERSON) == []
    with planted.read() as tx:
        assert erasures.unfinished(tx, planted.project_id) == []
        assert audit.first_broken(tx, planted.project_id) is None
    home = open_home(folder)
    home.close()
