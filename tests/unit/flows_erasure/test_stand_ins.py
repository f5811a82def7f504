"""A person is found, handed out and erased where only their pseudonym stands, in features too."""

from pathlib import Path

import msgspec
import polars as pl
import pytest
from tests.planted import OTHERS, PERSON

from thrive.data.operations import add
from thrive.data.reading import find_version, scan_version
from thrive.domain.features import FeatureColumn, FeatureView, Materialization, ViewDefinition
from thrive.domain.run import Artifact
from thrive.flows.erasure.erasing import erase
from thrive.flows.erasure.exporting import export_subject
from thrive.flows.erasure.finding import find_subject
from thrive.operations import Context
from thrive.store import features, runs
from thrive.store.online import OnlineTable, open_online
from thrive.store.pseudonym_keys import pseudonym_key, spellings
from thrive.store.pseudonyms import pseudonym

WHY = "request 17"
DIGEST = "a" * 32


@pytest.fixture
def counted(planted: Context) -> tuple[Context, str]:
    """A dataset that a run made of pseudonyms, under another name, and two that name nobody."""
    key = pseudonym_key(planted.home, "dana")
    stand_in = pseudonym(PERSON, key)
    rows = pl.DataFrame(
        {"buyer": [pseudonym(each, key) for each in (PERSON, *OTHERS)], "n": range(4)}
    )
    folder = planted.local_folder()
    rows.write_parquet(folder / "counted.parquet")
    rows.write_csv(folder / "listed.csv")
    add(planted, "counted.parquet", name="counted")
    add(planted, "listed.csv", name="listed")
    return planted, stand_in


def test_a_search_and_an_erasure_find_pseudonyms_under_any_name(counted) -> None:
    ctx, stand_in = counted
    found = {each.dataset: each for each in find_subject(ctx, PERSON).versions}
    assert (found["counted"].rows, found["counted"].column) == (1, "buyer")
    assert found["listed"].rows == 1
    report = erase(ctx, PERSON, reason=WHY, yes=True)
    assert (report.state, report.left) == ("done", [])
    for name in ("counted", "listed"):
        rows = scan_version(find_version(ctx, name), ctx.home.blobs).collect()
        assert rows["n"].to_list() == [1, 2, 3]
    stored = (ctx.home.blobs.get(digest) for digest in ctx.home.blobs.digests())
    assert not any(stand_in.encode() in data for data in stored)
    assert find_subject(ctx, PERSON).rows == 0


def test_without_a_key_nobody_was_ever_a_pseudonym(planted: Context) -> None:
    assert spellings(PERSON, planted.home) == (PERSON,)
    assert not (planted.home.folder / "pseudonym.key").exists()


def view_online(ctx: Context) -> None:
    """Register a view by customer, and put the values of two customers online."""
    definition = ViewDefinition(
        name="habits", entity=["customer"], event_time="", recorded_time="", sources=["orders"],
        ttl=0, delay=0, freshness=0, owner="shop", why="habits", code="", digest=DIGEST,
    )  # fmt: skip
    view = FeatureView(
        name="habits", version=1, digest=DIGEST, definition=definition, created_at=1, actor="ann",
        keys=[FeatureColumn(name="customer", dtype="String")],
        columns=[FeatureColumn(name="spent", dtype="Float64")],
    )  # fmt: skip
    made = Materialization(
        view="habits", digest=DIGEST, sources={}, until=1, complete=True, rows=2, changed=2,
        newest=None, at=1,
    )  # fmt: skip
    with ctx.observe("features") as tx:
        features.save_view(tx, ctx.project_id, view)
        features.save_materialization(tx, ctx.project_id, made)
    table = OnlineTable(digest=DIGEST, keys=view.keys, columns=view.columns)
    values = {"customer": [PERSON, OTHERS[0]], "_at": [1, 1], "spent": [7.5, 1.0]}
    open_online(ctx.home.folder).publish(table, pl.DataFrame(values))


def keep_artifact(ctx: Context, name: str, data: bytes) -> str:
    """Keep a file of a run, and return its digest."""
    with ctx.read() as tx:
        run = runs.find(tx, ctx.project_id)[0]
    digest = ctx.home.blobs.put(data)
    kept = Artifact(
        run_id=run.run_id, name=name, kind="file", digest=digest, size=len(data), created_at=1
    )
    with ctx.observe("run") as tx:
        runs.save_artifact(tx, ctx.project_id, kept)
    return digest


def test_features_artifacts_and_texts_are_handed_out_of_one_person_alone(counted) -> None:
    ctx, stand_in = counted
    view_online(ctx)
    table = ctx.local_folder() / "scores.parquet"
    pl.DataFrame({"who": [PERSON, OTHERS[1]], "score": [0.25, 0.5]}).write_parquet(table)
    keep_artifact(ctx, "scores", table.read_bytes())
    keep_artifact(ctx, "notes", f"{OTHERS[2]} wrote\n{PERSON} wrote twice\n".encode())
    picture = keep_artifact(ctx, "face", b"\xff\xd8" + PERSON.encode())
    done = export_subject(ctx, PERSON, to=Path("out"))
    folder = ctx.local_folder() / "out"
    texts = {each.subject: (folder / each.file).read_text() for each in done.files}
    assert msgspec.json.decode(texts["features of habits@1"]) == {"customer": PERSON, "spent": 7.5}
    assert texts["counted@1"].splitlines() == ["buyer,n", f"{stand_in},0"]
    held = {name.rpartition(":")[2]: text for name, text in texts.items() if "artifact" in name}
    assert held["scores"].splitlines() == ["who,score", f"{PERSON},0.25"]
    assert held["notes"] == f"{PERSON} wrote twice\n"
    (unread,) = done.unread
    assert unread.endswith(f"face: {picture}")
    assert not any(other in text for text in texts.values() for other in OTHERS)
