"""Lineage: what came from a version and what it came from, as values and as OpenLineage events."""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from uuid import UUID

import msgspec
import polars as pl
import pytest

from thrive.data.lineage import lineage
from thrive.data.operations import add
from thrive.data.reading import find_version
from thrive.domain.dataset import AddedVersion
from thrive.domain.errors import NotFound, Refused, StoreUnavailable, UsageError
from thrive.domain.identifiers import new_id
from thrive.domain.model import Model, ModelVersion
from thrive.domain.prediction import SealedLog
from thrive.domain.release import RoutingTable, Variant
from thrive.domain.run import Run, RunState, Use
from thrive.flows.data_show import show
from thrive.flows.openlineage import emit
from thrive.operations import Context
from thrive.registry import lineage as of_models
from thrive.store import datasets, models, predictions, releases, runs

DAY = 86_400_000_000


def ran(ctx: Context, *uses: Use, state: RunState = RunState.DONE) -> str:
    """Record a run with what it used; return its id."""
    now = ctx.now()
    run = Run(
        run_id=new_id(),
        experiment="e",
        name="n",
        state=state,
        actor="ann",
        started_at=now,
        ended_at=None if state is RunState.RUNNING else now + 1,
        pipeline="train",
    )
    with ctx.write("run") as tx:
        runs.save(tx, ctx.project_id, run)
        for use in uses:
            runs.add_use(tx, ctx.project_id, run.run_id, use)
    return run.run_id


def use_of(ctx: Context, name: str, direction: str = "in", columns: list[str] | None = None) -> Use:
    version = find_version(ctx, name)
    return Use(
        kind="dataset",
        name=version.dataset,
        digest=version.digest,
        direction=direction,
        version=version.version,
        columns=columns,
    )


def registered(ctx: Context, run_id: str, name: str, number: int = 1) -> None:
    """Register a version of the model `duration` that a run trained on a dataset version."""
    version = ModelVersion(
        model="duration",
        version=number,
        package="",
        signature={},
        metrics={},
        run_id=run_id,
        contract="",
        commit="c" * 40,
        dirty=False,
        created_at=ctx.now(),
        actor="ann",
        training={name.partition("@")[0]: find_version(ctx, name).digest},
    )
    with ctx.write("model") as tx:
        models.save(tx, ctx.project_id, Model(name="duration", owner="", purpose="", created_at=0))
        models.insert_version(tx, ctx.project_id, version, [])


def routed(ctx: Context, revision: int, *variants: Variant, at: int) -> None:
    table = RoutingTable(
        model="duration",
        revision=revision,
        variants=list(variants),
        fallback=0.0,
        salt="s",
        at=at,
        reason="",
        actor="ann",
        release_id=f"r{revision}",
    )
    with ctx.write("model") as tx:
        releases.move_routing(tx, ctx.project_id, table, revision - 1)


def answered(ctx: Context, segment: int, *versions: int | None) -> None:
    """Seal a stretch of the prediction log with one answer of each of these versions."""
    path = ctx.local_folder() / "sealed.parquet"
    pl.DataFrame(
        {"model": ["duration"] * len(versions), "version": pl.Series(versions, dtype=pl.Int64)}
    ).write_parquet(path)
    digest = ctx.home.blobs.put(path.read_bytes())
    sealed = SealedLog(
        worker=1,
        segment=segment,
        from_offset=0,
        to_offset=1,
        digest=digest,
        rows=len(versions),
        min_time=0,
        max_time=1,
        host="h",
        sealed_at=2,
    )
    with ctx.write("log") as tx:
        predictions.insert_sealed(tx, ctx.project_id, sealed)


def variant(version: int, share: float, *, shadow: bool = False) -> Variant:
    return Variant(version=version, package="", share=share, shadow=shadow)


def test_from_data_to_predictions_and_back(project: Context, added: AddedVersion) -> None:
    run_id = ran(project, use_of(project, "trips@1", columns=["minutes", "at"]))
    registered(project, run_id, "trips@1")
    registered(project, ran(project), "trips@1", number=2)
    routed(project, 1, variant(1, 0.0, shadow=True), at=DAY)
    routed(project, 2, variant(1, 0.25), variant(2, 0.75), at=2 * DAY)
    answered(project, 1, 1, 1, 2, None)
    answered(project, 2, 1)

    found = lineage(project, "trips@1")
    assert [(run.run_id, run.columns) for run in found.runs] == [(run_id, "minutes, at")]
    first, second = found.models
    assert (first.version, first.columns, first.live_share) == (1, "minutes, at", 0.25)
    assert (first.first_live_at, first.predictions, second.predictions) == (2 * DAY, 3, 1)
    assert second.columns == "all, opaque"  # no edge of its run says which columns it needed
    view = show(project, "trips")
    assert (view.read_by_runs, view.trained) == (1, ["duration@1", "duration@2"])

    back = of_models.lineage(project, "duration@1")
    assert [(read.dataset, read.version, read.columns) for read in back.data] == [
        ("trips", 1, "minutes, at")
    ]
    assert back.origins == []
    assert [(each.shadow, each.share, each.since, each.until) for each in back.periods] == [
        (True, 0.0, DAY, 2 * DAY),
        (False, 0.25, 2 * DAY, None),
    ]
    assert (back.run_id, back.predictions) == (run_id, 3)


@pytest.fixture
def chain(project: Context, added: AddedVersion) -> list[str]:
    """Trips give clean, clean gives rides, and a model is trained on rides; return the runs."""
    first = ran(project, use_of(project, "trips@1", columns=["minutes"]))
    put(project, "clean", made_by=first)
    second = ran(project, use_of(project, "clean@1", columns=["km"]))
    put(project, "rides", made_by=second)
    last = ran(project, use_of(project, "rides@1"))
    registered(project, last, "rides@1")
    return [first, second, last]


def put(ctx: Context, name: str, *, made_by: str) -> None:
    """Add a version of a dataset as if a run had made it."""
    path = ctx.local_folder() / f"{name}.csv"
    path.write_text(f"id,km\n{len(name)},2\n")
    add(ctx, path.name, name=name)
    version = msgspec.structs.replace(find_version(ctx, name), made_by=made_by)
    with ctx.write("data") as tx:
        datasets.replace_version(tx, ctx.project_id, version)
        runs.add_use(tx, ctx.project_id, made_by, use_of(ctx, f"{name}@1", "out"))


def test_a_model_is_found_through_the_data_that_runs_made(
    project: Context, chain: list[str]
) -> None:
    registered(project, ran(project, use_of(project, "trips@1", columns=["at"])), "trips@1", 2)
    answered(project, 1, 1, 1, 2)
    found = lineage(project, "trips@1").models
    assert [(each.version, each.columns, each.through, each.predictions) for each in found] == [
        (2, "at", "", 1),
        (1, "minutes", "clean@1, rides@1", 2),
    ]
    (between,) = lineage(project, "clean@1").models
    assert (between.run_id, between.columns, between.through) == (chain[2], "km", "rides@1")
    assert [each.through for each in lineage(project, "rides@1").models] == [""]


def test_a_model_leads_back_to_what_its_data_was_made_from(
    project: Context, chain: list[str]
) -> None:
    back = of_models.lineage(project, "duration@1")
    assert [each.dataset for each in back.data] == ["rides"]
    assert [(each.dataset, each.version, each.columns, each.through) for each in back.origins] == [
        ("clean", 1, "km", "rides@1"),
        ("trips", 1, "minutes", "clean@1"),
    ]


def test_data_that_was_made_from_itself_ends_somewhere(project: Context, chain: list[str]) -> None:
    with project.write("data") as tx:
        runs.add_use(tx, project.project_id, chain[1], use_of(project, "trips@1", "out"))
    assert [each.through for each in lineage(project, "trips@1").models] == ["clean@1, rides@1"]
    assert len(of_models.lineage(project, "duration@1").origins) == 2


def test_columns_of_an_opaque_reading(project: Context, added: AddedVersion) -> None:
    ran(project, use_of(project, "trips"))
    assert [run.columns for run in lineage(project, "trips").runs] == ["all, opaque"]


def test_data_made_from_data(project: Context, added: AddedVersion, write: Callable) -> None:
    write("9,zoe,5,", name="other.csv")
    add(project, "other.csv", name="late", owner="riders", why="late ones")
    run_id = ran(project, use_of(project, "trips"), use_of(project, "late", "out"))
    (onward,) = lineage(project, "trips").datasets
    assert (onward.dataset, onward.version, onward.direction) == ("late", 1, "out")
    (origin,) = lineage(project, "late").datasets
    assert (origin.dataset, origin.direction, origin.run_id) == ("trips", "in", run_id)


def test_equal_content_under_another_name_has_its_own_lineage(
    project: Context, added: AddedVersion
) -> None:
    copied = add(project, "trips.csv", name="copies", owner="riders", why="the same once more")
    assert find_version(project, "copies").digest == added.digest == copied.digest
    ran(project, use_of(project, "copies"))
    assert lineage(project, "trips").runs == []
    assert len(lineage(project, "copies").runs) == 1


def test_other_versions_have_other_lineage(
    project: Context, added: AddedVersion, write: Callable
) -> None:
    registered(project, ran(project, use_of(project, "trips@1")), "trips@1")
    write("7,ann,3,2024-01-05T08:00:00Z")
    add(project, name="trips")
    newest = lineage(project, "trips@2")
    assert (newest.runs, newest.models, newest.datasets) == ([], [], [])


def test_what_is_not_there(project: Context, added: AddedVersion) -> None:
    with pytest.raises(NotFound):
        lineage(project, "trips@9")
    with pytest.raises(NotFound):
        of_models.lineage(project, "duration")


def events_of(project: Context, tmp_path: Path, name: str = "trips") -> list[dict]:
    emit(project, name, to="events.jsonl")
    return [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]


@pytest.fixture
def trained(project: Context, added: AddedVersion) -> str:
    """A finished run that read two columns of trips and made a model."""
    made = Use(kind="model", name="duration", digest="d" * 64, direction="out", version=1)
    return ran(project, use_of(project, "trips", columns=["minutes", "at"]), made)


def test_openlineage_events_of_a_run(project: Context, tmp_path: Path, trained: str) -> None:
    start, end = events_of(project, tmp_path)
    assert [start["eventType"], end["eventType"]] == ["START", "COMPLETE"]
    assert start["run"] == end["run"] == {"runId": str(UUID(trained))}
    assert end["job"] == {"namespace": "thrive://test", "name": "train"}
    (read,) = end["inputs"]
    assert [field["name"] for field in read["facets"]["schema"]["fields"]] == ["minutes", "at"]
    assert read["facets"]["ownership"]["owners"] == [{"name": "riders", "type": "OWNER"}]
    assert read["facets"]["version"]["datasetVersion"] == find_version(project, "trips").digest
    assert [made["name"] for made in end["outputs"]] == ["model/duration"]


@pytest.mark.parametrize(
    ("state", "kinds"),
    [
        (RunState.RUNNING, ["START"]),
        (RunState.FAILED, ["START", "FAIL"]),
        (RunState.INTERRUPTED, ["START", "ABORT"]),
    ],
)
def test_openlineage_says_how_a_run_ended(
    project: Context, tmp_path: Path, added: AddedVersion, state: RunState, kinds: list[str]
) -> None:
    ran(project, use_of(project, "trips"), state=state)
    assert [event["eventType"] for event in events_of(project, tmp_path)] == kinds


def test_events_hold_no_value_and_no_person(project: Context, tmp_path: Path, trained: str) -> None:
    text = (
        json.dumps(events_of(project, tmp_path))
        + msgspec.json.encode(lineage(project, "trips")).decode()
    )
    for value in ("ann,", "bob", "10.5", "2024-01-01"):  # of the rows
        assert value not in text
    assert '"tester"' not in json.dumps(events_of(project, tmp_path))


def test_the_official_client_takes_the_events(
    project: Context, tmp_path: Path, trained: str
) -> None:
    """Its classes are generated from the official schema, and check URIs, times and ids."""
    official = pytest.importorskip(
        "openlineage.client.event_v2", reason="openlineage-python is not installed"
    )
    from openlineage.client.facet_v2 import (
        dataset_version_dataset,
        ownership_dataset,
        schema_dataset,
    )

    kinds = {
        "version": dataset_version_dataset.DatasetVersionDatasetFacet,
        "ownership": ownership_dataset.OwnershipDatasetFacet,
        "schema": schema_dataset.SchemaDatasetFacet,
    }
    for event in events_of(project, tmp_path):
        for side in (*event["inputs"], *event["outputs"]):
            for name, facet in side["facets"].items():
                given = {key: value for key, value in facet.items() if not key.startswith("_")}
                made = kinds[name](**given, producer=facet["_producer"])
                named = made._schemaURL.partition("#")[0].rpartition("/")[2]
                assert facet["_schemaURL"].endswith(f"/{named}")
        official.RunEvent(
            eventTime=event["eventTime"],
            producer=event["producer"],
            eventType=official.RunState[event["eventType"]],
            run=official.Run(event["run"]["runId"]),
            job=official.Job(event["job"]["namespace"], event["job"]["name"]),
            inputs=[official.InputDataset(x["namespace"], x["name"]) for x in event["inputs"]],
            outputs=[official.OutputDataset(x["namespace"], x["name"]) for x in event["outputs"]],
        )


@pytest.fixture
def catalogue():
    """A server that takes events, and what it took."""
    taken: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.append(json.loads(body))
            self.send_response(201 if self.path == "/api/v1/lineage" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", taken
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_catalogue_is_sent_the_events(
    project: Context, trained: str, catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, taken = catalogue
    monkeypatch.setenv("THRIVE_OPENLINEAGE", f"{address}/api/v1/lineage")
    assert emit(project, "trips").events == 2
    assert [event["eventType"] for event in taken] == ["START", "COMPLETE"]
    with pytest.raises(StoreUnavailable, match="404"):
        emit(project, "trips", to=f"{address}/elsewhere")


def test_events_enter_our_own_network_only_where_a_setting_says_so(
    project: Context, trained: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for address in ("http://10.1.2.3/lineage", "https://192.168.0.7/lineage"):
        with pytest.raises(Refused, match="network"):
            emit(project, "trips", to=address)
    monkeypatch.setenv("THRIVE_WEBHOOK_HOSTS", "catalogue.invalid")
    with pytest.raises(StoreUnavailable, match="name is not known"):
        emit(project, "trips", to="http://catalogue.invalid/lineage")


def test_events_with_nowhere_to_go(project: Context, trained: str) -> None:
    with pytest.raises(UsageError, match="Nothing says where"):
        emit(project, "trips")
    with pytest.raises(UsageError, match="takes no events"):
        emit(project, "trips", to="ftp://host/events")
    with pytest.raises(UsageError, match="cannot be written"):
        emit(project, "trips", to="no-folder/events.jsonl")


def test_no_run_no_events(project: Context, added: AddedVersion) -> None:
    with pytest.raises(NotFound, match="No run has read"):
        emit(project, "trips", to="events.jsonl")
