"""What an unmodified client relies on, by number; 13, 14, 16, 17, 19 are in the files beside.

1 prefixes and who calls, 2 bodies of DELETE, 3 forms of a body, 4 whole numbers, 5 numbers that
JSON lacks, 6 words of enums, 7 absent fields, 8 codes of errors, 9 writes sent again, 10 pages,
11 limits, 12 words of refusals, 13 filters, 14 the tag of prompts, 15 what is mirrored, 16
addresses of artifacts, 17 addresses of models, 18 plain routes, 19 uploads in parts.
"""

import base64
import json

import pytest
from tests.rest import LOCAL_TOKEN, ask, new_token
from tests.unit.server_mlflow.conftest import API, Client

from thrive.server.mlflow.routes import ROUTES
from thrive.store import runs


def test_quirk_01_both_prefixes_have_the_same_handlers(client):
    run = client.run()
    one = client.get("runs/get", f"run_id={run}")
    assert one == client.get("runs/get", f"run_id={run}", prefix="/ajax-api/2.0/mlflow/")


def test_quirk_03_a_body_may_be_a_text_that_holds_json_or_be_empty(client):
    twice = json.dumps(json.dumps({"name": "old"})).encode()
    made = ask(client.app, "POST", API + "experiments/create", raw=twice)
    assert made.json() == {"experiment_id": "1"}
    assert ask(client.app, "POST", API + "experiments/search", raw=b"").status == 200
    wrong = ask(client.app, "POST", API + "experiments/create", raw=b"[1]")
    assert (wrong.status, wrong.json()["error_code"]) == (400, "BAD_REQUEST")


def test_quirk_03_unknown_fields_are_left_alone_and_camel_case_is_read(client):
    made = client.post("runs/create", experimentId="0", runName="camel", whatever=[1])
    assert made["run"]["info"]["run_name"] == "camel"


def test_quirk_03_run_uuid_is_run_id(client):
    run = client.run()
    info = client.get("runs/get", f"run_uuid={run}")["run"]["info"]
    assert info["run_id"] == info["run_uuid"] == run
    client.post("runs/log-parameter", run_uuid=run, key="a", value="1")


def test_quirk_04_whole_numbers_are_numbers_and_may_come_as_texts(client):
    run = client.run()
    client.post("runs/log-metric", run_id=run, key="a", value="0.5", timestamp="12", step="3")
    (metric,) = client.get("runs/get", f"run_id={run}")["run"]["data"]["metrics"]
    assert metric == {"key": "a", "value": 0.5, "timestamp": 12, "step": 3}


def test_quirk_05_numbers_that_json_lacks_are_texts(client):
    run = client.run()
    for step, value in enumerate(("NaN", "Infinity", "-Infinity")):
        client.post("runs/log-metric", run_id=run, key="a", value=value, timestamp=1, step=step)
    raw = f'{{"run_id": "{run}", "key": "a", "value": NaN, "timestamp": 1, "step": 3}}'
    assert ask(client.app, "POST", API + "runs/log-metric", raw=raw.encode()).status == 200
    found = client.get("metrics/get-history", f"run_id={run}&metric_key=a")["metrics"]
    largest = 1.7976931348623157e308
    assert [point["value"] for point in found] == ["NaN", largest, -largest, "NaN"]


@pytest.mark.parametrize("status", ["SCHEDULED", "RUNNING", "FINISHED", "FAILED", "KILLED"])
def test_quirk_06_states_go_by_name_and_come_back(client, status):
    run = client.run()
    info = client.post("runs/update", run_id=run, status=status)["run_info"]
    assert info["status"] == status
    assert ("end_time" in info) == (status in {"FINISHED", "FAILED", "KILLED"})


def test_quirk_06_an_unknown_state_is_refused(client):
    told = client.refused("POST", "runs/update", {"run_id": client.run(), "status": "BORED"})
    assert told[:2] == (400, "INVALID_PARAMETER_VALUE")


def test_quirk_07_absent_fields_are_absent_and_empty_answers_are_objects(client):
    run = client.run()
    assert client.post("runs/set-tag", run_id=run, key="a", value="") == {}
    assert "end_time" not in client.get("runs/get", f"run_id={run}")["run"]["info"]
    assert "next_page_token" not in client.search()


@pytest.mark.parametrize(
    ("method", "path", "body", "told"),
    [
        ("POST", "experiments/create", {}, (400, "INVALID_PARAMETER_VALUE")),
        ("POST", "experiments/create", {"name": 31}, (400, "INVALID_PARAMETER_VALUE")),
        ("POST", "experiments/create", {"name": "x" * 501}, (400, "INVALID_PARAMETER_VALUE")),
        ("POST", "experiments/create", {"name": "taken"}, (400, "RESOURCE_ALREADY_EXISTS")),
        ("POST", "experiments/delete", {"experiment_id": "99"}, (404, "RESOURCE_DOES_NOT_EXIST")),
        ("POST", "runs/update", {"run_id": "f" * 32}, (404, "RESOURCE_DOES_NOT_EXIST")),
        ("POST", "runs/update", {"run_id": "../x"}, (404, "RESOURCE_DOES_NOT_EXIST")),
        ("POST", "runs/create", {"experiment_id": "abc"}, (404, "RESOURCE_DOES_NOT_EXIST")),
        ("POST", "traces", {}, (404, "ENDPOINT_NOT_FOUND")),
        ("GET", "runs/create", None, (404, "ENDPOINT_NOT_FOUND")),
        ("DELETE", "runs/create", {}, (404, "ENDPOINT_NOT_FOUND")),
    ],
)
def test_quirk_08_errors_have_the_names_that_clients_raise_by(client, method, path, body, told):
    client.post("experiments/create", name="taken")
    assert client.refused(method, path, body)[:2] == told


def test_quirk_12_the_words_for_missing_and_wrong_values(client):
    missing = client.refused("POST", "experiments/create", {})[2]
    assert missing.startswith("Missing value for required parameter 'name'")
    wrong = client.refused("POST", "experiments/create", {"name": 31})[2]
    assert wrong.startswith("Invalid value 31 for parameter 'name' supplied")


def test_quirk_08_unknown_routes_of_every_version_answer_in_the_protocols_words(client):
    for path in ("/api/3.0/mlflow/traces/1", "/ajax-api/3.0/mlflow/x", "/v1/traces", "/api/2.0/x"):
        reply = ask(client.app, "GET", path)
        assert (reply.status, reply.json()["error_code"]) == (404, "ENDPOINT_NOT_FOUND")


def test_quirk_09_a_write_sent_again_changes_nothing(client):
    run = client.run()
    for _ in range(2):
        client.post("runs/log-metric", run_id=run, key="a", value=1.5, timestamp=5, step=1)
        client.post("runs/log-parameter", run_id=run, key="p", value="x")
    found = client.get("metrics/get-history", f"run_id={run}&metric_key=a")["metrics"]
    assert found == [{"key": "a", "value": 1.5, "timestamp": 5, "step": 1}]
    status, code, words = client.refused(
        "POST", "runs/log-parameter", {"run_id": run, "key": "p", "value": "y"}
    )
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert "'x'" in words
    assert "'y'" in words


def test_the_latest_metric_is_that_of_the_highest_step(client):
    run = client.run()
    for value, at, step in ((1, 10, 5), (2, 20, 3), (3, 9, 5), (4, 10, 5), (0, 10, 5)):
        client.post("runs/log-metric", run_id=run, key="a", value=value, timestamp=at, step=step)
    (metric,) = client.get("runs/get", f"run_id={run}")["run"]["data"]["metrics"]
    assert (metric["value"], metric["step"], metric["timestamp"]) == (4, 5, 10)


def test_quirk_11_a_batch_has_limits(client):
    run = client.run()
    points = [{"key": f"m{n}", "value": n, "timestamp": 1, "step": 0} for n in range(1001)]
    told = client.refused("POST", "runs/log-batch", {"run_id": run, "metrics": points})
    assert told[1] == "INVALID_PARAMETER_VALUE"
    assert "at most 1000 metrics. Got 1001" in told[2]
    client.post("runs/log-batch", run_id=run, metrics=points[:1000])
    params = [{"key": f"p{n}", "value": "1"} for n in range(101)]
    assert client.refused("POST", "runs/log-batch", {"run_id": run, "params": params})[0] == 400
    assert len(client.get("runs/get", f"run_id={run}")["run"]["data"]["metrics"]) == 1000


@pytest.mark.parametrize("key", ["../x", "/x", "a//b", ".", "a;b", "x" * 251, ""])
def test_quirk_11_keys_that_read_as_paths_are_refused(client, key):
    body = {"run_id": client.run(), "key": key, "value": 1, "timestamp": 1}
    assert client.refused("POST", "runs/log-metric", body)[:2] == (400, "INVALID_PARAMETER_VALUE")


def test_quirk_11_values_have_their_longest(client):
    run = client.run()
    for path, size in (("runs/log-parameter", 6001), ("runs/set-tag", 8001)):
        body = {"run_id": run, "key": "k", "value": "v" * size}
        assert client.refused("POST", path, body)[1] == "INVALID_PARAMETER_VALUE"


def test_quirk_15_the_name_of_a_run_is_mirrored_in_its_tag(client):
    run = client.run(run_name="first", user_id="ada")
    info = client.get("runs/get", f"run_id={run}")["run"]
    tags = {tag["key"]: tag["value"] for tag in info["data"]["tags"]}
    assert (tags["mlflow.runName"], tags["mlflow.user"]) == ("first", "ada")
    assert info["info"]["user_id"] == "ada"
    client.post("runs/set-tag", run_id=run, key="mlflow.runName", value="second")
    assert client.names() == ["second"]
    client.post("runs/update", run_id=run, run_name="third")
    assert client.names("attributes.run_name = 'third'") == ["third"]


def test_a_deleted_run_is_out_of_sight_until_it_is_restored(client):
    run = client.run(run_name="a")
    client.post("runs/delete", run_id=run)
    assert client.names() == []
    assert client.names(run_view_type="DELETED_ONLY") == ["a"]
    assert client.names(run_view_type="ALL") == ["a"]
    told = client.refused("POST", "runs/set-tag", {"run_id": run, "key": "k", "value": "v"})
    assert "must be in the 'active' state" in told[2]
    client.post("runs/restore", run_id=run)
    assert client.names() == ["a"]


def test_quirk_10_histories_come_in_pages(client):
    run = client.run()
    points = [{"key": "a", "value": n, "timestamp": n, "step": n} for n in range(30)]
    client.post("runs/log-batch", run_id=run, metrics=points)
    query, seen = f"run_id={run}&metric_key=a&max_results=12", []
    page = client.get("metrics/get-history", query)
    while True:
        seen += page["metrics"]
        if not page.get("next_page_token"):
            break
        page = client.get("metrics/get-history", f"{query}&page_token={page['next_page_token']}")
    assert [point["step"] for point in seen] == list(range(30))
    told = client.refused(
        "GET", "metrics/get-history", query=f"run_id={run}&metric_key=a&max_results=25001"
    )
    assert told[1] == "INVALID_PARAMETER_VALUE"


def test_the_histories_of_several_runs_come_together_and_sampled(client):
    first, second = client.run(), client.run()
    for run in (first, second):
        points = [{"key": "a", "value": n, "timestamp": n, "step": n} for n in range(100)]
        client.post("runs/log-batch", run_id=run, metrics=points)
    query = f"run_id={first}&run_id={second}&metric_key=a"
    assert len(client.get("metrics/get-history-bulk", query)["metrics"]) == 200
    query = f"run_ids={first}&run_ids={second}&metric_key=a&max_results=5&start_step=10&end_step=50"
    found = client.get("metrics/get-history-bulk-interval", query)["metrics"]
    assert [point["step"] for point in found if point["run_id"] == first] == [10, 20, 30, 40, 50]


def test_experiment_0_is_there_from_the_beginning(client):
    assert client.get("experiments/get", "experiment_id=0")["experiment"]["name"] == "Default"
    run = client.post("runs/create", experiment_id="0")["run"]["info"]
    assert run["artifact_uri"] == f"mlflow-artifacts:/0/{run['run_id']}/artifacts"


def test_an_experiment_is_renamed_with_its_runs(client, home):
    run = client.run("before")
    client.names()
    client.post("experiments/update", experiment_id="1", new_name="after")
    assert client.get("experiments/get-by-name", "experiment_name=after")["experiment"]
    assert len(client.names()) == 1
    with home.read() as tx:
        assert runs.get(tx, home.project_id, run).experiment == "after"


def test_experiments_are_searched_tagged_deleted_and_restored(client):
    for name in ("alpha", "beta"):
        client.post("experiments/create", name=name, tags=[{"key": "team", "value": name}])
    client.post("experiments/set-experiment-tag", experiment_id="1", key="k", value="v")
    found = client.post("experiments/search", filter="tags.team = 'alpha' AND name LIKE 'al%'")
    assert [one["name"] for one in found["experiments"]] == ["alpha"]
    client.post("experiments/delete", experiment_id="1")
    names = [one["name"] for one in client.post("experiments/search")["experiments"]]
    assert sorted(names) == ["Default", "beta"]
    client.post("experiments/restore", experiment_id="1")
    page = client.get("experiments/search", "max_results=2&order_by=name%20DESC")
    assert [one["name"] for one in page["experiments"]] == ["beta", "alpha"]
    rest = client.get(
        "experiments/search",
        f"max_results=2&order_by=name%20DESC&page_token={page['next_page_token']}",
    )
    assert [one["name"] for one in rest["experiments"]] == ["Default"]
    tags = {"experiment_id": "1", "key": "team"}
    client.post("experiments/delete-experiment-tag", "DELETE", **tags)
    assert client.refused("DELETE", "experiments/delete-experiment-tag", tags)[0] == 404


def test_quirk_15_inputs_and_outputs_of_a_run_come_back(client):
    run = client.run()
    dataset = {"dataset": {"name": "d", "digest": "1", "source_type": "s", "source": "{}"}}
    dataset["tags"] = [{"key": "mlflow.data.context", "value": "train"}]
    for _ in range(2):
        client.post("runs/log-inputs", run_id=run, datasets=[dataset])
        client.post("runs/outputs", run_id=run, models=[{"model_id": "m-1", "step": 2}])
    found = client.get("runs/get", f"run_id={run}")["run"]
    assert found["inputs"] == {"dataset_inputs": [dataset]}
    assert found["outputs"] == {"model_outputs": [{"model_id": "m-1", "step": 2}]}
    assert len(client.names("datasets.name = 'd' and dataset.context = 'train'")) == 1
    assert client.names("datasets.digest = '2'") == []


def test_quirk_18_the_plain_routes_need_no_token(client):
    version = ask(client.app, "GET", "/version", token=None)
    assert version.status == 200
    assert version.body.decode()[0].isdigit()
    info = ask(client.app, "GET", "/api/3.0/mlflow/server-info", token=None).json()
    assert info["store_type"] == "SqlStore"


def test_quirk_01_without_a_token_nothing_is_answered(client):
    for route in ROUTES:
        path = API + route.path.replace("{model_id}", "m-" + "0" * 32).replace("{key}", "k")
        reply = ask(client.app, route.method, path, token=None)
        assert (reply.status, reply.json()["error_code"]) == (401, "UNAUTHENTICATED"), route


def test_quirk_01_a_token_may_stand_for_a_password(client):
    basic = base64.b64encode(f"anybody:{LOCAL_TOKEN}".encode()).decode()
    for words, status in ((basic, 200), (basic[:-4], 401), ("%%%", 401)):
        headers = {"authorization": f"Basic {words}"}
        path = API + "experiments/search"
        assert ask(client.app, "GET", path, token=None, headers=headers).status == status


@pytest.mark.parametrize("role", ["auditor", "serve", "data-scientist"])
def test_every_route_asks_for_its_role(client, context, role):
    own = Client(client.app, new_token(context, "someone", role))
    for route in ROUTES:
        path = route.path.replace("{model_id}", "m-" + "0" * 32).replace("{key}", "k")
        refused = own.reply(route.method, path).status == 403
        assert refused == (role not in route.role), route


def test_a_run_of_a_client_is_a_run_like_any_other(client, home):
    run = client.run(run_name="mine")
    client.post("runs/log-metric", run_id=run, key="auc", value=0.5, timestamp=1)
    reply = ask(client.app, "GET", "/api/runs/show", query=f"run={run}").json()
    assert (reply["experiment"], reply["state"], reply["metrics"]) == (
        "exp",
        "running",
        {"auc": 0.5},
    )


@pytest.mark.parametrize(
    ("dataset", "told"),
    [
        ({}, "datasets[0].dataset"),
        ({"dataset": "flights"}, "must be an object"),
        ({"dataset": {"name": "d"}}, "datasets[0].dataset.digest"),
        ({"dataset": {"name": "d", "digest": "1", "schema": {}}}, "must be a string"),
        ({"dataset": {"name": "d", "digest": "1"}, "tags": [{"value": "x"}]}, "'tags[0].key'"),
    ],
)
def test_quirk_15_what_is_no_dataset_is_no_input(client, dataset, told):
    run = client.run()
    answer = client.refused("POST", "runs/log-inputs", {"run_id": run, "datasets": [dataset]})
    assert answer[:2] == (400, "INVALID_PARAMETER_VALUE")
    assert told in answer[2]
    assert client.get("runs/get", f"run_id={run}")["run"]["inputs"] == {"dataset_inputs": []}


@pytest.mark.parametrize("moment", [-62_135_596_800_001, 253_402_300_800_000, 2**62])
def test_quirk_04_a_time_is_one_that_a_calendar_has(client, moment):
    run = client.run()
    begun = {"experiment_id": "0", "start_time": moment}
    ended = {"run_id": run, "status": "FINISHED", "end_time": moment}
    for path, body in (("runs/create", begun), ("runs/update", ended)):
        status, code, words = client.refused("POST", path, body)
        assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
        assert str(moment) in words


def test_a_history_of_logged_models_is_kept_beside_a_tag_that_is_none(client):
    run = client.run()
    client.post("runs/set-tag", run_id=run, key="mlflow.log-model.history", value="mine")
    client.post("runs/log-model", run_id=run, model_json='{"artifact_path": "m"}')
    (told,) = [
        tag["value"]
        for tag in client.get("runs/get", f"run_id={run}")["run"]["data"]["tags"]
        if tag["key"] == "mlflow.log-model.history"
    ]
    assert json.loads(told) == [{"artifact_path": "m"}]
    deep = {"run_id": run, "model_json": '{"a":' * 5000 + "1" + "}" * 5000}
    assert client.refused("POST", "runs/log-model", deep)[:2] == (400, "INVALID_PARAMETER_VALUE")
