"""`/explain/ID` on a real server: from a home, and on a host that has none."""

import json

import pytest
from tests.end_to_end.test_server import served
from tests.rest import new_token
from tests.serving_home import (
    MODEL,
    RemoteHost,
    Server,
    add_version,
    constant_package,
    live,
    make_home,
    route,
)

from thrive.domain.actor import local_actor
from thrive.operations import Context

pytestmark = pytest.mark.full

ROWS = [{"origin": name, "wind": 1.5, "flight_id": name} for name in ("EWR", "JFK", "LGA")]


def asked_and_explained(server):
    """Ask for rows and have one of them explained."""
    first, *_ = server.predict(ROWS)["predictions"]
    status, found = server.ask(f"/explain/{first['id']}")
    assert status == 200, found
    assert found["reproduced"]
    assert (found["score"], found["recorded"]) == (0.7, 0.7)
    shares = {each["name"]: each["adds"] for each in found["shares"]}
    assert shares["wind"] == pytest.approx(0, abs=1e-12)
    assert shares["origin"] == pytest.approx(0.7 - found["base"])
    return first["id"]


def test_a_home_explains_what_waits_and_what_is_sealed(tmp_path):
    home = make_home(tmp_path)
    route(home, live(add_version(home, constant_package(0.3, EWR=0.7, JFK=0.1))))
    with Server(tmp_path) as server:
        known = asked_and_explained(server)
        assert server.ask("/explain/abc")[0] == 422
        assert server.ask(f"/explain/{known[:-1]}9")[0] == 404
    with Server(tmp_path) as server:  # leaving, the first one sealed its log
        assert server.ask(f"/explain/{known}")[1]["prediction_id"] == known
    home.close()


def test_a_home_whose_stores_want_a_password_is_explained_from_the_log(tmp_path):
    home = make_home(tmp_path)
    route(home, live(add_version(home, constant_package(0.3, EWR=0.7, JFK=0.1))))
    record = home.folder / "home.json"
    with Server(tmp_path) as server:
        said = record.read_text()
        closed = {"database": "postgresql://thrive@127.0.0.1:1/team", "objects": str(tmp_path)}
        record.write_text(json.dumps(json.loads(said) | closed))
        asked_and_explained(server)
        record.write_text(said)
    home.close()


def test_a_host_without_the_home_explains_what_it_has(tmp_path):
    folder = tmp_path / "server"
    folder.mkdir()
    home = make_home(folder)
    (folder / "thrive.toml").write_text("contract = 1\n")
    route(home, live(add_version(home, constant_package(0.3, EWR=0.7, JFK=0.1))))
    token = new_token(Context(home, local_actor("t"), operation="t"), "edge-1", "serve")
    with served(folder, "--no-worker") as (_, known):
        with RemoteHost(tmp_path / "edge", known["url"], token) as host:
            shipped = asked_and_explained(host)
        with RemoteHost(tmp_path / "edge", known["url"], token) as host:
            status, said = host.ask(f"/explain/{shipped}")
    assert (status, said["error"]["code"]) == (404, "NotFound")
    assert "predictions explain" in said["error"]["hint"]
    home.close()


def test_a_pickle_answers_where_its_digest_is_allowed_and_nowhere_else(tmp_path, monkeypatch):
    import polars as pl
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    from thrive.packaging.package import pack

    frame = pl.DataFrame({"wind": [1.0, 2.0, 3.0, 4.0]})
    model = make_pipeline(FunctionTransformer(), LogisticRegression()).fit(frame, [0, 0, 1, 1])
    package = pack(model, frame, positive=1, model_format="pickle")
    home = make_home(tmp_path)
    route(home, live(add_version(home, package)))
    row = {"wind": 4.0, "flight_id": "f"}
    with Server(tmp_path) as server:
        refused = server.ask("/health")[1]["errors"][MODEL]
        assert f"THRIVE_ALLOW_PICKLES to {MODEL}={package.digest}" in refused
        assert server.ask(f"/predict/{MODEL}", {"rows": [row]})[0] == 404
    monkeypatch.setenv("THRIVE_ALLOW_PICKLES", f"{MODEL}={package.digest}")
    with Server(tmp_path) as server:
        (answer,) = server.predict([row])["predictions"]
        assert answer["score"] == pytest.approx(model.predict_proba(frame[3:])[0, 1])
    home.close()
