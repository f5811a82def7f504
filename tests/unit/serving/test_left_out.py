"""A model does not answer about a person who is left out, over any way of asking."""

import asyncio
import json

import msgspec
import polars as pl
import pytest
from tests.serving_home import (
    CONTRACT,
    MODEL,
    add_version,
    constant_package,
    live,
    make_home,
    route,
)
from tests.unit.serving.test_consumers import answered

from thrive.domain.actor import local_actor
from thrive.domain.duty import Restriction, RestrictionKind
from thrive.domain.left_out import LEFT_OUT, LeftOut, asked_as
from thrive.flows.score import predictions_score
from thrive.operations import Context
from thrive.serving.answering import Answerer
from thrive.serving.app import App
from thrive.serving.counters import WorkerState
from thrive.serving.early_plane import EarlyControlPlane
from thrive.serving.home_plane import LocalControlPlane
from thrive.serving.limits import Limits
from thrive.serving.live import LiveModels
from thrive.serving.sealing import seal_logs
from thrive.store import restrictions
from thrive.store.eventlog import SegmentWriter
from thrive.store.prediction_frames import predictions_between

KEY = b"k" * 32
ANSWERED = CONTRACT.replace("entity =", 'inputs = { restricted = "answer" }\nentity =')


def leave_out(home, who: str) -> None:
    order = Restriction(
        restriction_id="1" * 32,
        kind=RestrictionKind.OBJECTION,
        person="p" * 64,
        columns=["flight_id"],
        reason="request 17",
        actor="ada",
        placed_at=1,
        asked=asked_as(who, KEY),
        asked_key=KEY.hex(),
    )
    with Context(home, local_actor("ada"), operation="test").write("restriction:1") as tx:
        restrictions.add(tx, home.project_id, order)


def home_with(folder, contract=CONTRACT):
    home = make_home(folder, contract)
    route(home, live(add_version(home, constant_package(0.3), contract=contract)))
    return home


def test_requests_about_the_person_are_refused_and_not_logged(tmp_path):
    home = home_with(tmp_path)
    before = LocalControlPlane(home).routing(0.0)
    assert before.models[MODEL].left_out == []
    leave_out(home, "f1")
    routes = LocalControlPlane(home).routing(0.0)
    early = EarlyControlPlane.of(home.folder, lambda: LocalControlPlane(home))
    assert early.routing(0.0) == routes
    assert "f1" not in msgspec.json.encode(routes).decode().replace(KEY.hex(), "")
    constant_package(0.3).unpack_to(
        tmp_path / "packages" / routes.models[MODEL].variants[0].package
    )

    async def main():
        models = LiveModels(tmp_path)
        with SegmentWriter(home.log_folder, 0) as writer:
            state = WorkerState(worker=0)
            app = App(
                models, Answerer(writer, state), state, tmp_path, home.log_folder, Limits(hosts=[])
            )
            await models.apply(before)
            assert models.models[MODEL].quick is not None
            await models.apply(routes)
            assert models.models[MODEL].quick is None
            app.routes = routes
            row = {"origin": "EWR", "wind": 1.0}
            two = ("f2", "f1")
            tensors = [
                {"name": name, "datatype": kind, "shape": [1], "data": [value]}
                for name, kind, value in (
                    ("flight_id", "BYTES", "f1"), ("origin", "BYTES", "EWR"), ("wind", "FP64", 1.0)
                )
            ]  # fmt: skip
            for path, body in (
                (f"/predict/{MODEL}", {"flight_id": "f1", **row}),
                (f"/predict/{MODEL}", {"rows": [{"flight_id": each, **row} for each in two]}),
                ("/invocations", {"dataframe_records": [{"flight_id": "f1", **row}]}),
                (f"/v2/models/{MODEL}/infer", {"inputs": tensors}),
            ):
                status, said = await answered(app, path, "", json.dumps(body).encode())
                assert status == 403, said
                assert LEFT_OUT in json.dumps(said)
            body = json.dumps({"flight_id": "f2", **row}).encode()
            assert (await answered(app, f"/predict/{MODEL}", "", body))[0] == 200
        await models.close()

    asyncio.run(main())
    seal_logs(home, force=True)
    assert predictions_between(home, 0, 1 << 53)["k.flight_id"].to_list() == ["f2"]
    home.close()


@pytest.mark.parametrize(("contract", "refused"), [(CONTRACT, 1), (ANSWERED, 0)])
def test_rows_of_a_table_are_left_out_unless_the_contract_answers(tmp_path, contract, refused):
    home = home_with(tmp_path, contract)
    leave_out(home, "7")
    assert bool(LocalControlPlane(home).routing(0.0).models[MODEL].left_out) is bool(refused)
    rows = {"flight_id": [7, 8, None], "origin": ["EWR"] * 3, "wind": [1.0] * 3}
    pl.DataFrame(rows).write_parquet(tmp_path / "in.parquet")
    ctx = Context(home, local_actor("ada"), folder=tmp_path, operation="predictions score")
    done = predictions_score(ctx, MODEL, "in.parquet", tmp_path / "out")
    assert (done.answered, done.refused) == (3 - refused, refused)
    errors = pl.read_parquet(tmp_path / "out" / "part-00000.parquet")["error"].to_list()
    assert errors == [LEFT_OUT if refused else "", "", ""]
    home.close()


def test_people_are_told_by_value_in_the_columns_that_name_them():
    orders = [(KEY.hex(), ["who"], f"{asked_as('7', KEY)} {asked_as('ann', KEY)}"), ("", ["x"], "")]
    (people,) = LeftOut.of(orders)
    rows = [
        {"who": "ann"}, {"who": 7}, {"who": 7.0}, {"who": "bob"}, {"x": "ann"}, {"who": None},
        {"who": ["ann"]},
    ]  # fmt: skip
    assert people.rows_about(rows) == [0, 1, 2]
    assert people.rows_about([]) == []
