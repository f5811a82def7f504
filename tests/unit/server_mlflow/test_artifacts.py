import pytest
from tests.rest import ask, new_token
from tests.unit.server_mlflow.conftest import Client

from thrive.store import upload_parts

PROXY = "/api/2.0/mlflow-artifacts/"


def put(client, path, content, **more):
    headers = {"content-type": "text/plain"}
    return ask(
        client.app,
        "PUT",
        PROXY + "artifacts/" + path,
        raw=content,
        headers=headers,
        token=client.token,
        **more,
    )


@pytest.fixture
def place(client) -> str:
    run = client.run()
    return f"1/{run}/artifacts"


def test_quirk_16_files_go_in_and_come_out(client, place):
    content = b"x" * (3 << 20) + b"end"
    assert put(client, f"{place}/a/b.bin", content).json() == {}
    reply = ask(client.app, "GET", f"{PROXY}artifacts/{place}/a/b.bin")
    assert (reply.status, reply.body) == (200, content)
    assert reply.headers["content-disposition"] == "attachment"


def test_a_larger_file_than_a_body_of_json(client, place):
    content = bytes(20 << 20)
    assert put(client, f"{place}/large", content).status == 200
    assert len(ask(client.app, "GET", f"{PROXY}artifacts/{place}/large").body) == 20 << 20


def test_a_folder_lists_what_lies_in_it(client, place):
    for name in ("a.txt", "model/MLmodel", "model/data/x"):
        put(client, f"{place}/{name}", name.encode())
    listed = ask(client.app, "GET", f"{PROXY}artifacts", query=f"path={place}").json()["files"]
    assert listed == [
        {"path": "a.txt", "is_dir": False, "file_size": 5},
        {"path": "model", "is_dir": True},
    ]
    run = place.split("/")[1]
    found = client.get("artifacts/list", f"run_id={run}&path=model")
    assert [one["path"] for one in found["files"]] == ["model/MLmodel", "model/data"]
    assert client.get("artifacts/list", f"run_id={run}&path=a.txt")["files"] == []


def test_a_folder_is_deleted_whole_and_nothing_beside_it(client, place):
    for name in ("m/a", "m/b/c", "mn"):
        put(client, f"{place}/{name}", b"x")
    assert ask(client.app, "DELETE", f"{PROXY}artifacts/{place}/m").json() == {}
    files = ask(client.app, "GET", f"{PROXY}artifacts", query=f"path={place}").json()["files"]
    assert [one["path"] for one in files] == ["mn"]


@pytest.mark.parametrize(
    "name", ["../../x", "a/../b", "a//b", "./a", "a\\b", "x" * 251, "", "a\x01b"]
)
def test_names_that_lead_elsewhere_are_refused(client, place, name):
    reply = put(client, f"{place}/{name}", b"x")
    assert (reply.status, reply.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("path", ["x", "1/artifacts/x", "1/../2/artifacts/x", "etc/passwd"])
def test_addresses_of_no_run_are_refused(client, path):
    assert put(client, path, b"x").json()["error_code"] == "INVALID_PARAMETER_VALUE"


def test_a_run_that_is_not_there_takes_no_file(client):
    assert put(client, f"1/{'f' * 32}/artifacts/x", b"x").status == 404


def in_parts(client, place, parts, step="complete", changed=None):
    """Send a file in parts, the last one first; return the answer to the last step."""
    folder = f"{place}/big"
    begun = ask(
        client.app,
        "POST",
        f"{PROXY}mpu/create/{folder}",
        body={"path": "/home/me/data.bin", "num_parts": len(parts)},
    ).json()
    told = []
    for credential, part in list(zip(begun["credentials"], parts, strict=True))[::-1]:
        path = credential["url"].removeprefix("http://localhost:8000")
        sent = {name.lower(): value for name, value in credential["headers"].items()}
        reply = ask(client.app, "PUT", path, raw=part, token=None, headers=sent)
        told.append({"part_number": credential["part_number"], "etag": reply.headers["etag"]})
    body = {"path": "data.bin", "upload_id": begun["upload_id"], "parts": told}
    return ask(client.app, "POST", f"{PROXY}mpu/{step}/{folder}", body=body | (changed or {}))


def test_quirk_19_a_large_file_comes_in_parts_side_by_side(client, place):
    parts = [b"a" * (2 << 20), b"b" * (2 << 20), b"end"]
    assert in_parts(client, place, parts).json() == {}
    reply = ask(client.app, "GET", f"{PROXY}presigned/{place}/big/data.bin").json()
    assert reply["file_size"] == sum(map(len, parts))
    path = reply["url"].removeprefix("http://localhost:8000")
    wanted = {"range": "bytes=2097151-2097153", "authorization": reply["headers"]["Authorization"]}
    part = ask(client.app, "GET", path, token=None, headers=wanted)
    assert (part.status, part.body) == (206, b"abb")


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"parts": [{"part_number": 7, "etag": "x"}]}, "did not arrive"),
        ({"parts": [{"part_number": 1, "etag": '"0"'}]}, "did not arrive"),
        ({"parts": []}, "Missing value"),
        ({"upload_id": "../../x"}, "upload_id"),
        ({"path": "other.bin"}, "did not arrive"),
    ],
)
def test_an_upload_that_is_not_whole_becomes_no_artifact(client, place, changed, word):
    reply = in_parts(client, place, [b"a", b"b"], changed=changed)
    assert (reply.status, word in reply.json()["message"]) == (400, True)
    listed = ask(client.app, "GET", f"{PROXY}artifacts", query=f"path={place}").json()["files"]
    assert listed == []


def test_an_upload_that_is_given_up_leaves_no_part(client, place, home):
    assert in_parts(client, place, [b"a", b"b"], step="abort").json() == {}
    with home.read() as tx:
        assert upload_parts.forget_before(tx, home.project_id, 1 << 60) == 0


def test_whoever_may_only_read_writes_no_file(client, context, place):
    reader = Client(client.app, new_token(context, "reader", "auditor"))
    assert put(reader, f"{place}/a", b"x").status == 403
    assert put(client, f"{place}/a", b"x").status == 200
    path = f"{PROXY}artifacts/{place}/a"
    assert ask(client.app, "GET", path, token=reader.token).body == b"x"
    assert ask(client.app, "DELETE", path, token=reader.token).status == 403


def test_logged_models_from_creation_to_search(client):
    run = client.run()
    made = client.post(
        "logged-models",
        experiment_id="1",
        name="m",
        source_run_id=run,
        params=[{"key": "depth", "value": "3"}],
    )["model"]["info"]
    model = made["model_id"]
    assert made["status"] == "LOGGED_MODEL_PENDING"
    assert made["artifact_uri"] == f"mlflow-artifacts:/1/models/{model}/artifacts"
    assert put(client, f"1/models/{model}/artifacts/MLmodel", b"flavors").status == 200
    listed = client.get(f"logged-models/{model}/artifacts/directories")
    assert [one["path"] for one in listed["files"]] == ["MLmodel"]
    ready = client.post(f"logged-models/{model}", "PATCH", status="LOGGED_MODEL_READY")
    assert ready["model"]["info"]["status"] == "LOGGED_MODEL_READY"
    client.post(f"logged-models/{model}/tags", "PATCH", tags=[{"key": "a/b", "value": "c"}])
    point = {"key": "auc", "value": 0.8, "timestamp": 1, "step": 0, "model_id": model}
    for _ in range(2):
        client.post("runs/log-batch", run_id=run, metrics=[point])
    found = client.post(
        "logged-models/search",
        experiment_ids=["1"],
        filter="metrics.auc > 0.5 and params.depth = '3'",
        order_by=[{"field_name": "metrics.auc", "ascending": False}],
    )["models"]
    assert [one["info"]["model_id"] for one in found] == [model]
    assert found[0]["data"]["metrics"][0]["value"] == 0.8
    assert len(found[0]["data"]["metrics"]) == 1
    client.post(f"logged-models/{model}", "DELETE")
    assert client.refused("GET", f"logged-models/{model}")[0] == 404
    assert client.get(f"logged-models/{model}", "allow_deleted=true")["model"]
